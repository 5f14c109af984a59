// A flow without training, for the pages beside this file: from N(0, I) to eight Gaussians on a circle, in closed form.
import { wgslVelocity } from "pushforward";

/**
 * u_t of the straight path with independent pairs, to an equal mixture of N(m_k, s² I): given k, x_t has the mean t m_k and the
 * deviation σ = √((1 − t)² + t² s²), and moves with m_k + (σ′/σ)(x − t m_k); of these, the mean by how likely each k is at x.
 */
export const eightGaussians = wgslVelocity({
  dim: 2,
  code: `
    fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> {
      let s = 0.25;
      let variance = (1.0 - t) * (1.0 - t) + t * t * s * s;
      let growth = (t * s * s - (1.0 - t)) / variance;
      var sum = vec2f(0.0);
      var total = 0.0;
      for (var k = 0; k < 8; k++) {
        let angle = f32(k) * 0.78539816;
        let middle = 3.0 * vec2f(cos(angle), sin(angle));
        let away = vec2f(x[0], x[1]) - t * middle;
        // 40 keeps one of them above 0 in f32
        let likely = exp(max(-0.5 * dot(away, away) / variance, -40.0));
        sum += likely * (middle + growth * away);
        total += likely;
      }
      return array<f32, DIM>(sum.x / total, sum.y / total);
    }`,
});
