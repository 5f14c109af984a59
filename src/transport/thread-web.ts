// What a web worker runs that pairs points, in browsers and in Deno.
import { type Match, type MatchJob, match } from "./match.ts";

/** The part of a worker's global scope that is used here. */
declare const self: {
  addEventListener(type: "message", listener: (event: MessageEvent<MatchJob>) => void): void;
  postMessage(match: Match): void;
};

self.addEventListener("message", ({ data }) => {
  // other messages may come from elsewhere: they are not for this
  if (typeof data === "object" && data !== null && "runs" in data) self.postMessage(match(data));
});
