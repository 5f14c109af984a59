// The sets that a visitor chooses: the target, and with the source "a second set" the one where particles start.
import { html, input, select } from "./dom.ts";
import { darknessOfText } from "./drawing.ts";
import { readFile, type Table, tableTarget } from "./files.ts";
import { makeTargets, showTarget, showTargetTools, type TargetKey } from "./panel.ts";
import type { Playground } from "./playground.ts";
import { isToy, type Stroke, type Target } from "./targets.ts";

/** What a set is for; the names are those of the settings. */
type Role = "target" | "start";

export class Sets {
  readonly #playground: Playground;
  readonly #chosen: () => void;
  #role: Role = "target";
  /** What was drawn stays while another kind of set is looked at. */
  readonly #strokes: Record<Role, readonly Stroke[]> = { target: [], start: [] };
  #table: Table | undefined;
  #typing = 0;

  /** `chosen` is told that one of the settings is another. */
  constructor(playground: Playground, chosen: () => void) {
    this.#playground = playground;
    this.#chosen = chosen;
    const { settings } = playground;
    for (const role of ["target", "start"] as const) {
      const set = settings[role];
      if (set.kind === "drawing") this.#strokes[role] = set.strokes;
    }
    makeTargets((key) => this.#pick(key));
    input("text").addEventListener("input", () => this.#letters());
    for (const radio of document.querySelectorAll<HTMLInputElement>('[name="role"]'))
      radio.addEventListener("change", () => this.#turnTo(radio.value as Role));
    playground.drew = (strokes) => {
      this.#strokes[this.#role] = strokes;
      settings[this.#role] = { kind: "drawing", strokes };
      chosen();
    };
    this.#connectFiles();
    this.sourceChanged(false);
  }

  /** The source is rows, or no longer: `asks` turns to the choice of them. */
  sourceChanged(asks = true): void {
    const hasTwo = this.#playground.settings.source === "samples";
    html("roles").hidden = !hasTwo;
    this.#turnTo(hasTwo && asks ? "start" : "target");
  }

  #turnTo(role: Role): void {
    this.#role = role;
    const hasTwo = this.#playground.settings.source === "samples";
    for (const radio of document.querySelectorAll<HTMLInputElement>('[name="role"]'))
      radio.checked = radio.value === role;
    html("target-title").textContent = hasTwo ? "Two sets" : "Target";
    html("target-hint").textContent =
      role === "start" ? "Where do the points start?" : hasTwo ? "Where are they carried to?" : "What should it learn?";
    // the columns are those of the set that was opened last
    this.#table = undefined;
    html("columns").hidden = true;
    const set = this.#playground.settings[role];
    this.#playground.showSet(set);
    showTarget(set);
  }

  #choose(set: Target): void {
    this.#playground.settings[this.#role] = set;
    this.#playground.showSet(set);
    showTarget(set);
    this.#chosen();
  }

  #pick(key: TargetKey): void {
    showTargetTools(key);
    if (isToy(key)) this.#choose({ kind: "toy", name: key });
    if (key === "drawing") this.#choose({ kind: "drawing", strokes: this.#strokes[this.#role] });
    if (key === "text") this.#letters();
  }

  #letters(): void {
    clearTimeout(this.#typing);
    this.#typing = window.setTimeout(() => {
      const word = input("text").value.trim();
      if (word !== "") this.#choose({ kind: "text", text: word, darkness: darknessOfText(word) });
    }, 350);
  }

  #connectFiles(): void {
    const takeColumns = () => {
      const [x, y] = ["column-x", "column-y"].map((id) => select(id).selectedIndex) as [number, number];
      if (!this.#table) return;
      const target = tableTarget(this.#table, x, y);
      html("units").textContent = (target.kind === "table" && target.units) || "";
      this.#choose(target);
    };
    const take = (file: File | undefined) =>
      this.#playground.attempt(async () => {
        if (!file) return;
        if (file.name.endsWith(".safetensors")) {
          await this.#playground.open(file.name, new Uint8Array(await file.arrayBuffer()));
          return;
        }
        const found = await readFile(file);
        this.#table = "columns" in found ? found : undefined;
        html("columns").hidden = !this.#table;
        if (!("columns" in found)) {
          this.#choose(found);
          return;
        }
        for (const [id, chosen] of [
          ["column-x", 0],
          ["column-y", 1],
        ] as const) {
          const options = found.columns.map(({ name }, k) => new Option(name, String(k), false, k === chosen));
          select(id).replaceChildren(...options);
        }
        takeColumns();
      });
    for (const id of ["column-x", "column-y"])
      select(id).addEventListener("change", () => this.#playground.attempt(async () => takeColumns()));
    const files = input("data-file");
    html("open-data").addEventListener("click", () => files.click());
    files.addEventListener("change", () => {
      take(files.files?.[0]);
      // the same file again, for the other set, is news, too
      files.value = "";
    });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      take(event.dataTransfer?.files[0]);
    });
  }
}
