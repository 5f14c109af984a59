// The search of the documentation: its index is a script beside the pages, so that it works without a server, too.
import MiniSearch from "minisearch";

const options = { fields: ["title", "page", "text"], storeFields: ["title", "page", "start"] };
const mostShown = 12;
const ranking = {
  prefix: true,
  fuzzy: 0.15,
  boost: { title: 3, page: 2 },
  combineWith: "AND" as const,
  // who looks for a subject wants its page, who looks for a name finds it anyway
  boostDocument: (id: string) => (id.startsWith("guide/") ? 2 : id.startsWith("api/") ? 0.7 : 1),
};

const root = document.currentScript?.dataset.root ?? ".";
const input = document.getElementById("search") as HTMLInputElement;
const found = document.getElementById("found") as HTMLElement;
let index: Promise<MiniSearch> | undefined;

function loadIndex(): Promise<MiniSearch> {
  index ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${root}/search-index.js`;
    script.onload = () =>
      resolve(MiniSearch.loadJSON((globalThis as unknown as { searchIndex: string }).searchIndex, options));
    script.onerror = () => reject(new Error("search-index.js is not there"));
    document.head.append(script);
  });
  return index;
}

function element(name: string, className: string, text: string): HTMLElement {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

async function search(): Promise<void> {
  const words = input.value.trim();
  const hits = words === "" ? [] : (await loadIndex()).search(words, ranking);
  if (input.value.trim() !== words) return;
  found.hidden = words === "";
  found.replaceChildren(
    ...hits.slice(0, mostShown).map(({ id, title, page, start }) => {
      const link = document.createElement("a");
      link.href = `${root}/${id}`;
      link.append(
        element("b", "", title),
        element("span", "where", title === page ? "" : page),
        element("span", "start", start),
      );
      return link;
    }),
  );
  if (hits.length === 0) found.append(element("p", "", "Nothing found."));
}

/** Arrows go through the results. */
function move(by: number): void {
  const links = [...found.querySelectorAll("a")];
  const at = links.indexOf(document.activeElement as HTMLAnchorElement) + by;
  (at < 0 ? input : (links[Math.min(at, links.length - 1)] ?? input)).focus();
}

input.addEventListener("focus", () => void loadIndex());
input.addEventListener("input", () => void search());
document.addEventListener("keydown", (event) => {
  const isInSearch = input.parentElement?.contains(document.activeElement);
  if (event.key === "/" && !isInSearch) input.focus();
  else if (event.key === "Escape" && isInSearch) found.hidden = true;
  else if (event.key === "ArrowDown" && isInSearch) move(1);
  else if (event.key === "ArrowUp" && isInSearch) move(-1);
  else if (event.key === "Enter" && document.activeElement === input) found.querySelector("a")?.click();
  else return;
  event.preventDefault();
});
document.addEventListener("click", (event) => {
  if (!input.parentElement?.contains(event.target as Node)) found.hidden = true;
});

// on a narrow screen the text comes first
const all = document.querySelector<HTMLDetailsElement>("details.all");
if (all && matchMedia("(max-width: 860px)").matches) all.open = false;
