// What `pushforward/view` draws, in WGSL, and the pipelines that draw it. Places are counted in pixels from the middle of the canvas, y up.

import { struct } from "./struct.ts";

/** A shader that draws, and what its pipeline takes. */
export interface Drawing {
  readonly label: string;
  readonly code: string;
  readonly bindings: readonly GPUBindGroupLayoutEntry[];
  readonly vertexBuffers: readonly GPUVertexBufferLayout[];
  readonly topology: GPUPrimitiveTopology;
  readonly blend?: GPUBlendState;
}

/** The numbers of a draw of particles. */
export const drawStruct = struct("Draw", {
  /** Of the canvas, in data units. */
  centre: "vec2f",
  /** A pixel, in clip space. */
  clip: "vec2f",
  /** Pixels. */
  perUnit: "f32",
  /** Of a particle, in pixels. */
  radius: "f32",
  /** Share of the way between the two states at the end of a streak, and at its beginning. */
  head: "f32",
  tail: "f32",
  /** Colour of all particles. */
  ink: "vec4f",
  /** The place that is grey, and the distance from it. */
  source: "vec2f",
  spread: "f32",
  lightness: "f32",
  alpha: "f32",
  /** 1: each particle has the colour of its origin. */
  byOrigin: "f32",
  /** Of particles, and the frames on both sides of head and tail, where no vertex buffers say it. */
  count: "f32",
  frames: "vec4f",
});

/**
 * Each particle is a streak from where it was to where it is, with round ends; where both are one place, a disc. The conversion from
 * OKLCH to sRGB is Ottosson's (2020).
 */
const drawCode = `
${drawStruct.text}
@group(0) @binding(0) var<uniform> draw: Draw;

struct Corner {
  @builtin(position) position: vec4f,
  @location(0) place: vec2f,
  @location(1) @interpolate(flat) stretch: f32,
  @location(2) @interpolate(flat) colour: vec3f,
}

fn oklch(lightness: f32, chroma: f32, hue: f32) -> vec3f {
  let a = chroma * cos(hue);
  let b = chroma * sin(hue);
  let l = lightness + 0.3963377774 * a + 0.2158037573 * b;
  let m = lightness - 0.1055613458 * a - 0.0638541728 * b;
  let s = lightness - 0.0894841775 * a - 1.2914855480 * b;
  let lms = vec3f(l * l * l, m * m * m, s * s * s);
  let linear = vec3f(
    dot(lms, vec3f(4.0767416621, -3.3077115913, 0.2309699292)),
    dot(lms, vec3f(-1.2684380046, 2.6097574011, -0.3413193965)),
    dot(lms, vec3f(-0.0041960863, -0.7034186147, 1.7076147010)));
  return pow(clamp(linear, vec3f(0.0), vec3f(1.0)), vec3f(1.0 / 2.2));
}

fn corner(index: u32, headState: vec2f, tailState: vec2f, origin: vec2f) -> Corner {
  let head = (headState - draw.centre) * draw.perUnit;
  let tail = (tailState - draw.centre) * draw.perUnit;
  let way = head - tail;
  let distance = length(way);
  let along = select(vec2f(1.0, 0.0), way / max(distance, 1e-6), distance > 1e-3);
  let across = vec2f(-along.y, along.x);
  let sides = vec2f(f32(index & 1u), f32(index >> 1u)) * 2.0 - 1.0;
  // a pixel more, for the soft edge
  let radius = draw.radius + 1.0;
  let end = select(tail, head, sides.y > 0.0);
  var result: Corner;
  result.position = vec4f((end + radius * (sides.x * across + sides.y * along)) * draw.clip, 0.0, 1.0);
  result.stretch = 0.5 * distance;
  result.place = vec2f(sides.x * radius, sides.y * (result.stretch + radius));
  let start = (origin - draw.source) / draw.spread;
  let r = length(start);
  let own = oklch(draw.lightness, 0.16 * r / (r + 0.45), atan2(start.y, start.x));
  result.colour = select(draw.ink.rgb, own, draw.byOrigin == 1.0);
  return result;
}

@fragment fn disc(in: Corner) -> @location(0) vec4f {
  let away = length(vec2f(in.place.x, max(abs(in.place.y) - in.stretch, 0.0)));
  let cover = clamp(draw.radius - away + 0.5, 0.0, 1.0) * draw.alpha;
  return vec4f(in.colour * cover, cover);
}
`;

/** A particle is an instance of four corners; its states are vertex buffers. */
const instancedCode = `
@vertex fn place(
  @builtin(vertex_index) index: u32,
  @location(0) headBeforeX: f32, @location(1) headBeforeY: f32,
  @location(2) headAfterX: f32, @location(3) headAfterY: f32,
  @location(4) tailBeforeX: f32, @location(5) tailBeforeY: f32,
  @location(6) tailAfterX: f32, @location(7) tailAfterY: f32,
  @location(8) originX: f32, @location(9) originY: f32,
) -> Corner {
  let headState = mix(vec2f(headBeforeX, headBeforeY), vec2f(headAfterX, headAfterY), draw.head);
  let tailState = mix(vec2f(tailBeforeX, tailBeforeY), vec2f(tailAfterX, tailAfterY), draw.tail);
  return corner(index, headState, tailState, vec2f(originX, originY));
}
`;

/**
 * All particles are one list of triangles, six corners each, which look for their states: an adapter in software does as much for an
 * instance as for a draw (SwiftShader takes an eighth of the time for 10⁵ particles, with the same bits; lavapipe four fifths).
 */
const pulledCode = (dim: number, [x, y]: readonly [number, number]) => `
@group(0) @binding(1) var<storage, read> states: array<f32>;
@group(0) @binding(2) var<storage, read> origins: array<f32>;

fn stateAt(frame: f32, particle: u32) -> vec2f {
  let row = (u32(frame) * u32(draw.count) + particle) * ${dim}u;
  return vec2f(states[row + ${x}u], states[row + ${y}u]);
}

@vertex fn place(@builtin(vertex_index) vertex: u32) -> Corner {
  let particle = vertex / 6u;
  // 0, 1, 2 and 3, 2, 1
  let k = vertex % 6u;
  let index = select(k, 6u - k, k > 2u);
  let headState = mix(stateAt(draw.frames.x, particle), stateAt(draw.frames.y, particle), draw.head);
  let tailState = mix(stateAt(draw.frames.z, particle), stateAt(draw.frames.w, particle), draw.tail);
  let row = particle * ${dim}u;
  return corner(index, headState, tailState, vec2f(origins[row + ${x}u], origins[row + ${y}u]));
}
`;

/** The numbers of a relief. */
export const reliefStruct = struct("Relief", {
  background: "vec4f",
  shade: "vec4f",
  line: "vec4f",
  /** Of the canvas, in data units. */
  middle: "vec2f",
  /** Of the canvas, in pixels. */
  size: "vec2f",
  /** Of the grid. */
  centre: "vec2f",
  half: "f32",
  /** Pixels. */
  perUnit: "f32",
  /** Corners. */
  side: "f32",
  /** log p that has the full shade. */
  reference: "f32",
});

/** log p is read as the library wrote it, and interpolated between the corners of its grid. */
const reliefCode = `
${reliefStruct.text}
@group(0) @binding(0) var<uniform> relief: Relief;
@group(0) @binding(1) var<storage, read> logProb: array<f32>;

fn at(column: i32, row: i32) -> f32 {
  let side = i32(relief.side);
  let value = logProb[clamp(row, 0, side - 1) * side + clamp(column, 0, side - 1)];
  // what is not a number is not above anything
  return select(-60.0, min(value, 20.0), value > -60.0);
}

@vertex fn everywhere(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
  return vec4f(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment fn shade(@builtin(position) position: vec4f) -> @location(0) vec4f {
  let pixel = (position.xy - 0.5 * relief.size) * vec2f(1.0, -1.0);
  let place = (relief.middle + pixel / relief.perUnit - relief.centre) / relief.half;
  let spot = clamp(0.5 * place + 0.5, vec2f(0.0), vec2f(0.99999)) * (relief.side - 1.0);
  let cell = vec2i(spot);
  let share = spot - floor(spot);
  let below = mix(at(cell.x, cell.y), at(cell.x + 1, cell.y), share.x);
  let above = mix(at(cell.x, cell.y + 1), at(cell.x + 1, cell.y + 1), share.x);
  let height = mix(below, above, share.y) - relief.reference;
  let full = min(exp(0.5 * height), 1.15);
  var colour = mix(relief.background.rgb, relief.shade.rgb, full * relief.shade.a);
  // a line where log p passes a whole number, as wide as a pixel whatever the slope
  let slope = max(fwidth(height), 1e-4);
  let beside = abs(fract(height - 0.5) - 0.5) / slope;
  let strength = (1.0 - smoothstep(0.4, 1.4, beside)) * smoothstep(-7.0, -4.0, height) * (1.0 - smoothstep(0.3, 0.7, slope));
  colour = mix(colour, relief.line.rgb, strength * relief.line.a);
  let isOutside = max(abs(place.x), abs(place.y)) > 1.0;
  return vec4f(select(colour, relief.background.rgb, isOutside), 1.0);
}
`;

const over: GPUBlendComponent = { srcFactor: "one", dstFactor: "one-minus-src-alpha", operation: "add" };

/** Of vertex and fragment. */
const visibility = 3;
const vertexStage = 1;

/** What makes another drawing of particles. */
export interface ParticleShape {
  readonly dim: number;
  /** The two that are drawn. */
  readonly axes: readonly [number, number];
  /** Whether states are read from storage; else they are vertex buffers. */
  readonly pulled: boolean;
}

/** The struct Draw is at an offset that changes with every draw. */
export const particleDrawing = ({ dim, axes, pulled }: ParticleShape): Drawing => ({
  label: `view: axes ${axes} of ${dim}${pulled ? ", from storage" : ""}`,
  code: drawCode + (pulled ? pulledCode(dim, axes) : instancedCode),
  bindings: [
    {
      binding: 0,
      visibility,
      buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: 4 * drawStruct.words },
    },
    ...(pulled ? [1, 2] : []).map((binding) => ({
      binding,
      visibility: vertexStage,
      buffer: { type: "read-only-storage" } as const,
    })),
  ],
  vertexBuffers: Array.from({ length: pulled ? 0 : 5 }, (_, k) => ({
    arrayStride: 4 * dim,
    stepMode: "instance",
    attributes: axes.map((axis, i) => ({ shaderLocation: 2 * k + i, offset: 4 * axis, format: "float32" })),
  })),
  topology: pulled ? "triangle-list" : "triangle-strip",
  blend: { color: over, alpha: over },
});

/** A density as a shade, and its lines. */
export const reliefDrawing = (): Drawing => ({
  label: "view: density",
  code: reliefCode,
  bindings: [
    { binding: 0, visibility, buffer: { type: "uniform" } },
    { binding: 1, visibility, buffer: { type: "read-only-storage" } },
  ],
  vertexBuffers: [],
  topology: "triangle-list",
});

/** What makes the pipeline of a drawing, and the layout of its bindings. */
export function drawingPipeline(
  device: GPUDevice,
  { label, bindings, code, vertexBuffers, topology, blend }: Drawing,
  format: GPUTextureFormat,
): { readonly layout: GPUBindGroupLayout; readonly descriptor: GPURenderPipelineDescriptor } {
  const layout = device.createBindGroupLayout({ label, entries: [...bindings] });
  const module = device.createShaderModule({ label, code });
  const descriptor: GPURenderPipelineDescriptor = {
    label,
    layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
    vertex: { module, buffers: [...vertexBuffers] },
    fragment: { module, targets: [{ format, ...(blend && { blend }) }] },
    primitive: { topology },
  };
  return { layout, descriptor };
}
