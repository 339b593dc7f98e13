export { timelineSvg, type TimelineHost, type TimelineOptions } from "./timeline";
export { runSvg } from "./run";
