// The entry "pushforward/view", for browsers: particles on a canvas. It imports without a browser, too.
export { createParticleView, type ParticleView, type ViewCanvas } from "./particle-view.ts";
export type { Colour, DensityRelief, OriginColours, ParticlePicture, Particles } from "./picture.ts";
