// The two pictures that the page draws from buffers of the library, in WGSL.

/** A frame's numbers, as `frameFloats` of renderer.ts lays them out. */
const frame = `
struct Frame {
  centre: vec2f,       // of the view, data units
  half: f32,           // half its side
  radius: f32,         // of a particle, in halves of the canvas
  head: f32,           // share of the way between the two states at the end
  tail: f32,           // and at the beginning of a streak
  alpha: f32,
  pixel: f32,          // a pixel, in halves of the canvas
  ink: vec4f,          // colour of all particles; with a = 0 each has that of its origin
  paper: vec4f,
  line: vec4f,
  shade: vec4f,
  lightness: f32,      // of the colours by origin
  corners: f32,        // of the density's grid, along a side
  reference: f32,      // log p that has the full shade
  spread: f32,         // of the source, in its units
  source: vec2f,       // its middle
}
@group(0) @binding(0) var<uniform> frame: Frame;
`;

/**
 * Each particle is a streak from where it was to where it is, with round ends; where both are one place, a disc. Four corners each; the
 * states are vertex buffers. Colours by origin: the hue is the angle of x0, in OKLCH (Ottosson 2020), which is even to the eye.
 */
export const particleShader = `${frame}
struct Corner {
  @builtin(position) position: vec4f,
  @location(0) place: vec2f,
  @location(1) @interpolate(flat) stretch: f32,
  @location(2) @interpolate(flat) colour: vec4f,
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

@vertex fn corner(
  @builtin(vertex_index) index: u32,
  @location(0) headBefore: vec2f,
  @location(1) headAfter: vec2f,
  @location(2) tailBefore: vec2f,
  @location(3) tailAfter: vec2f,
  @location(4) origin: vec2f,
) -> Corner {
  let head = (mix(headBefore, headAfter, frame.head) - frame.centre) / frame.half;
  let tail = (mix(tailBefore, tailAfter, frame.tail) - frame.centre) / frame.half;
  let way = head - tail;
  let distance = length(way);
  let along = select(vec2f(1.0, 0.0), way / max(distance, 1e-9), distance > 1e-6);
  let across = vec2f(-along.y, along.x);
  let sides = vec2f(f32(index & 1u), f32(index >> 1u)) * 2.0 - 1.0;
  // a pixel more, for the soft edge
  let radius = frame.radius + frame.pixel;
  let end = select(tail, head, sides.y > 0.0);
  var result: Corner;
  result.position = vec4f(end + radius * (sides.x * across + sides.y * along), 0.0, 1.0);
  result.stretch = 0.5 * distance;
  result.place = vec2f(sides.x * radius, sides.y * (result.stretch + radius));
  let start = (origin - frame.source) / frame.spread;
  let r = length(start);
  let chroma = 0.16 * r / (r + 0.45);
  result.colour = frame.ink;
  if (frame.ink.a == 0.0) {
    result.colour = vec4f(oklch(frame.lightness, chroma, atan2(start.y, start.x)), 1.0);
  }
  return result;
}

@fragment fn disc(in: Corner) -> @location(0) vec4f {
  let away = length(vec2f(in.place.x, max(abs(in.place.y) - in.stretch, 0.0)));
  let cover = clamp((frame.radius - away) / frame.pixel + 0.5, 0.0, 1.0) * frame.alpha * in.colour.a;
  return vec4f(in.colour.rgb * cover, cover);
}
`;

/** The density as a shade of √p, with a line for each nat of log p. The library's log p is read as it is, and interpolated. */
export const densityShader = `${frame}
@group(0) @binding(1) var<storage, read> logProb: array<f32>;

fn at(column: i32, row: i32) -> f32 {
  let corners = i32(frame.corners);
  let value = logProb[clamp(row, 0, corners - 1) * corners + clamp(column, 0, corners - 1)];
  // what is not a number is not above anything
  return select(-60.0, min(value, 20.0), value > -60.0);
}

@vertex fn everywhere(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
  return vec4f(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment fn shade(@builtin(position) position: vec4f) -> @location(0) vec4f {
  // pixel counts pixels in halves of the canvas, from above
  let place = vec2f(position.x, 2.0 / frame.pixel - position.y) * frame.pixel / 2.0;
  let spot = clamp(place, vec2f(0.0), vec2f(0.99999)) * (frame.corners - 1.0);
  let cell = vec2i(spot);
  let share = spot - floor(spot);
  let below = mix(at(cell.x, cell.y), at(cell.x + 1, cell.y), share.x);
  let above = mix(at(cell.x, cell.y + 1), at(cell.x + 1, cell.y + 1), share.x);
  let height = mix(below, above, share.y) - frame.reference;
  let full = min(exp(0.5 * height), 1.15);
  var colour = mix(frame.paper.rgb, frame.shade.rgb, full * frame.shade.a);
  // a line where log p passes a whole number, as wide as a pixel whatever the slope
  let slope = max(fwidth(height), 1e-4);
  let beside = abs(fract(height - 0.5) - 0.5) / slope;
  let strength = (1.0 - smoothstep(0.4, 1.4, beside)) * smoothstep(-7.0, -4.0, height) * (1.0 - smoothstep(0.3, 0.7, slope));
  colour = mix(colour, frame.line.rgb, strength * frame.line.a);
  return vec4f(colour, 1.0);
}
`;
