export { timelineSvg, type TimelineHost, type TimelineOptions } from "./timeline";
