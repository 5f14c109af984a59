import type { FlowOptions } from "pushforward";
import { circularAxes, type Transform } from "../src/data/transform.ts";
import type { Sizes } from "../src/network/network.ts";
import type { TrainableVelocity } from "../src/velocity/field.ts";
import { UsageError } from "./context.ts";
import type { TrainOptions } from "./training-options.ts";

/** The network that the options of `train` say. */
export async function velocityOf(
  o: TrainOptions,
  { dim, classes, context }: Sizes,
  transform?: Transform,
): Promise<TrainableVelocity> {
  const { concatSquash, mlp, residualMlp } = await import("pushforward");
  const { field, hidden, width = 64, blocks = 3, initial } = o;
  const conditions = { ...(classes > 0 && { classes }), ...(context > 0 && { context }) };
  const circular = circularAxes(transform);
  if (field === "concat-squash" && circular.length > 0)
    throw new UsageError(
      "--field concat-squash takes columns as numbers, but --transform has circular ones: choose --field mlp or --field residual",
    );
  if (o.features && circular.length > 0)
    throw new UsageError(
      "--features are of columns as numbers, but --transform has circular ones: leave --features out",
    );
  const given = {
    dim,
    ...(circular.length > 0 && { circular: { axes: circular } }),
    ...(o.activation && { activation: o.activation }),
    ...(o.time && { time: o.time }),
    ...(o.features && { features: { fourier: o.features } }),
  };
  if (field === "residual") return residualMlp({ ...given, ...conditions, width, blocks });
  if (field === "mlp") return mlp({ ...given, ...conditions, hidden, ...(initial && { initial }) });
  if (classes + context > 0)
    throw new UsageError(
      "--field concat-squash has no inputs for --labels, --context and --shortcut: choose --field mlp or --field residual",
    );
  return concatSquash({ ...given, hidden });
}

/** What a flow starts from, as `info` and messages tell it. */
export function sourceText(source: FlowOptions["source"]): string {
  if (source === undefined) return "Gaussian, N(0, I)";
  if ("samples" in source) return "rows of data, so it has no density";
  if (source.distribution === "mixture") return `mixture of ${source.means.length} Gaussians`;
  return source.distribution === "gaussian" ? "Gaussian" : "uniform on a box";
}
