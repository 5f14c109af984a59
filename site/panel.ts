// The targets to choose from, as small pictures, and the choices of the bar.
import { type ToyName, toyData, toyNames } from "pushforward";
import { breath, byId, html, input, select } from "./dom.ts";
import { type ChoiceName, choices, type Settings, withoutLikelihood } from "./settings.ts";
import { plane, type Target, toyTitles } from "./targets.ts";
import { colourName } from "./theme.ts";

export const withoutDensity =
  "There is no likelihood of a flow from a second set: of points alone nobody knows a density";

const withinBox =
  "There is no training by likelihood from a uniform source: outside of its box the density is 0, and the loss infinite";

export type TargetKey = Target["kind"] | (typeof toyNames)[number] | "file";

export const keyOf = (target: Target): TargetKey =>
  target.kind === "toy" ? target.name : target.kind === "table" || target.kind === "picture" ? "file" : target.kind;

const others: Partial<Record<TargetKey, { title: string; sign: string }>> = {
  drawing: {
    title: "Draw",
    sign: '<svg viewBox="0 0 34 26" aria-hidden="true"><path d="M3 19c5-18 11-18 11-7s7 11 9 2 5-8 8-6"/></svg>',
  },
  text: { title: "Letters", sign: "<b aria-hidden='true'>Aa</b>" },
  file: {
    title: "File",
    sign: '<svg viewBox="0 0 34 26" aria-hidden="true"><path d="M6 22V4M6 22h23M11 16h.1M15 11h.1M19 14h.1M22 7h.1M26 9h.1"/></svg>',
  },
};

/** Fills the choice of targets; `chosen` is told the key of another one. */
export function makeTargets(chosen: (key: TargetKey) => void): void {
  const list = html("targets");
  for (const key of ["drawing", ...toyNames, "text", "file"] as const) {
    const other = others[key];
    const title = other?.title ?? toyTitles[key as ToyName];
    const label = document.createElement("label");
    label.title = title;
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "target";
    radio.value = key;
    radio.ariaLabel = title;
    radio.addEventListener("change", () => chosen(key));
    if (other) {
      label.innerHTML = other.sign;
      label.append(title);
    } else label.append(document.createElement("canvas"));
    label.append(radio);
    list.append(label);
  }
  void paintTargets();
}

/** Small pictures of the toy sets, in the colours of the hour. */
export async function paintTargets(): Promise<void> {
  for (const name of toyNames) {
    await breath();
    const canvas = document.querySelector<HTMLCanvasElement>(`#targets label:has([value="${name}"]) canvas`);
    const context = canvas?.getContext("2d");
    if (!canvas || !context) continue;
    const side = Math.round(64 * Math.min(2, devicePixelRatio));
    canvas.width = canvas.height = side;
    context.fillStyle = colourName("accent");
    context.globalAlpha = 0.5;
    const points = toyData(name, 500);
    const scale = side / (2 * plane.half * 1.04);
    const dot = side / 52;
    for (let i = 0; i < points.length; i += 2)
      context.fillRect(
        side / 2 + scale * (points[i] as number),
        side / 2 - scale * (points[i + 1] as number),
        dot,
        dot,
      );
  }
}

export function showTarget(target: Target): void {
  const radio = document.querySelector<HTMLInputElement>(`#targets [value="${keyOf(target)}"]`);
  if (radio) radio.checked = true;
  showTargetTools(keyOf(target));
  if (target.kind === "text") input("text").value = target.text;
}

export function showTargetTools(key: TargetKey): void {
  html("text-choice").hidden = key !== "text";
  html("file-choice").hidden = key !== "file";
}

/** Connects the selects with the settings; `changed` is told which one is another. */
export function connectChoices(settings: Settings, changed: (name: ChoiceName) => void): void {
  const counts = byId("particles", HTMLSelectElement);
  for (const count of choices.particles) counts.append(new Option(count.toLocaleString("en"), String(count)));
  for (const name of Object.keys(choices) as ChoiceName[]) {
    const element = select(name);
    element.value = String(settings[name]);
    element.addEventListener("change", () => {
      const value = choices[name].find((choice) => String(choice) === element.value);
      if (value === undefined) return;
      withoutLikelihood(Object.assign(settings, { [name]: value }));
      showChoices(settings);
      changed(name);
    });
  }
  showChoices(settings);
}

function showChoices(settings: Settings): void {
  for (const name of Object.keys(choices) as ChoiceName[]) select(name).value = String(settings[name]);
  select("pairs").disabled = settings.loss !== "flow-matching";
  const likelihood = select("loss").querySelector<HTMLOptionElement>('[value="likelihood"]');
  if (likelihood) likelihood.disabled = settings.source !== "gaussian";
  select("loss").title = { gaussian: "", uniform: withinBox, samples: withoutDensity }[settings.source];
}
