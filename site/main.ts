// The page begins here: it opens a device, connects the controls, and trains.
import { type Gpu, openGpu } from "pushforward";
import { button, html, input } from "./dom.ts";
import { download, programOf } from "./export.ts";
import { connectChoices, paintTargets } from "./panel.ts";
import { Playground } from "./playground.ts";
import { Sets } from "./sets.ts";
import { defaults, readAddress, type Settings, writeAddress } from "./settings.ts";
import { onThemeChange, wantsStillness } from "./theme.ts";

function withoutGpu(error: unknown): void {
  html("playground").hidden = true;
  html("without").hidden = false;
  html("why").textContent =
    "gpu" in navigator
      ? `This browser has WebGPU, but gives this page no device: ${error instanceof Error ? error.message : error}`
      : "This browser does not have it, or not for this page. What you can do:";
}

function describe(gpu: Gpu): string {
  const { description, vendor, architecture, software } = gpu.info;
  const name = description || [vendor, architecture].filter(Boolean).join(" ") || "WebGPU";
  return software ? "No GPU here: fewer particles, a smaller network." : `on ${name}`;
}

function connect(playground: Playground, settings: Settings, initial: Settings): void {
  const { gpu } = playground;
  const keep = () => history.replaceState(null, "", writeAddress(settings, initial));
  const begin = () => {
    keep();
    playground.attempt(() => playground.begin(true));
  };
  const sets = new Sets(playground, begin);

  // training
  connectChoices(settings, (name) => {
    if (name === "source") sets.sourceChanged();
    if (name !== "particles") return begin();
    keep();
    playground.screen.outdate();
    if (!playground.learner?.isPlaying) playground.attempt(() => playground.screen.settle());
  });
  button("again").addEventListener("click", () => begin());
  button("play").addEventListener("click", () => {
    const { learner } = playground;
    if (learner?.isPlaying) learner.pause();
    else learner?.play();
  });
  button("step").addEventListener("click", () => playground.learner?.stepOnce());
  let isWaiting = false;
  document.addEventListener("visibilitychange", () => {
    const { learner } = playground;
    if (document.hidden) {
      isWaiting = learner?.isPlaying ?? false;
      learner?.pause();
    } else if (isWaiting) learner?.play();
  });

  // the picture
  for (const name of ["particles", "density", "trails", "points"])
    input(`show-${name}`).addEventListener("change", () => {
      playground.screen.paint();
      if (!playground.learner?.isPlaying) playground.attempt(() => playground.screen.settle());
    });
  input("show-arrows").addEventListener("change", () => void playground.aim());
  playground.repaint = () => {
    playground.screen.recolour();
    playground.stage.paint();
    void paintTargets();
    playground.comparison.repaint();
  };
  onThemeChange(playground.repaint);
  new ResizeObserver(() => playground.stage.paint()).observe(html("frame"));

  // take it home
  button("save-weights").addEventListener("click", () =>
    playground.attempt(async () => {
      const bytes = await playground.learner?.flow.save();
      if (bytes) download("flow.safetensors", bytes as Uint8Array<ArrayBuffer>, "application/octet-stream");
    }),
  );
  button("save-picture").addEventListener("click", () =>
    playground.attempt(async () => download("flow.png", await pictureOf(playground), "image/png")),
  );
  button("save-code").addEventListener("click", () => {
    const { learner } = playground;
    if (!learner) return;
    const code = programOf(settings, learner.data, gpu.info.software ? 256 : 1024, Math.max(1000, learner.step));
    download("flow.ts", code, "text/plain");
  });
  const weights = input("weights-file");
  button("open-weights").addEventListener("click", () => weights.click());
  weights.addEventListener("change", () =>
    playground.attempt(async () => {
      const file = weights.files?.[0];
      if (file) await playground.open(file.name, new Uint8Array(await file.arrayBuffer()));
      weights.value = "";
    }),
  );
}

/** The picture with what lies over it. */
async function pictureOf({ screen }: Playground): Promise<Blob> {
  // the canvas has its picture until this task ends
  screen.drawNow();
  const { width, height } = screen.canvas;
  const sheet = new OffscreenCanvas(width, height);
  const context = sheet.getContext("2d");
  context?.drawImage(screen.canvas, 0, 0);
  context?.drawImage(html("overlay") as HTMLCanvasElement, 0, 0, width, height);
  return sheet.convertToBlob({ type: "image/png" });
}

async function start(): Promise<void> {
  let gpu: Gpu;
  try {
    gpu = await openGpu();
  } catch (error) {
    withoutGpu(error);
    return;
  }
  html("adapter").textContent = describe(gpu);
  const initial = defaults(gpu.info.software);
  const settings = readAddress(location.hash, initial);
  const playground = new Playground(gpu, settings);
  connect(playground, settings, initial);
  // an address that is typed or followed in this tab; the page's own changes of it are no such event
  addEventListener("hashchange", () => location.reload());
  playground.attempt(() => playground.begin(!wantsStillness()));
}

void start();
