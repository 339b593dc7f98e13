/**
 * A run as a picture: hosts down, grouped by rack, time across; each copy a bar in the colour of the host that fed it,
 * with an arrow from there. Pure: the same traces give the same picture, planned or real.
 */
import { formatBytes, formatSeconds, plural } from "../fleet";
import type { CloneTrace } from "../engine/types";
import { layOut, type Bar, type Layout, type Row, type Stretch, type TimelineHost } from "./layout";

export type { TimelineHost } from "./layout";

export interface TimelineOptions {
  /** In the order in which they are shown, those of a rack together. */
  hosts: readonly TimelineHost[];
  /** What one copy moves; rates follow from it. */
  imageBytes: number;
  /** @default "Clones over time" */
  title?: string;
}

const WIDTH = 1240;
const LEFT = 210;
const RIGHT = 24;
const TOP = 96;
const BOTTOM = 34;
/** More arrows than this only blacken the picture. */
const MOST_ARROWS = 600;
const FONT = "ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif";
const INK = "#1f2933";
const FAINT = "#7b8794";

/** @returns an SVG document; without clones one that says so */
export function timelineSvg(clones: readonly CloneTrace[], options: TimelineOptions): string {
  const layout = layOut(clones, options.hosts);
  const height = TOP + layout.height + BOTTOM;
  const x = scaleOf(layout.endSeconds);
  const colours = coloursOf(layout);
  const parts = [
    `<rect width="${WIDTH}" height="${px(height)}" fill="#ffffff"/>`,
    heading(clones, options, layout),
    bands(layout),
    axis(layout, x),
    ...[...layout.rows.values()].map((row) => bars(row, x, colours, options.imageBytes)),
    arrows(layout, clones, x, colours),
    ...[...layout.rows.values()].map((row) => label(row, colours)),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${px(height)}" viewBox="0 0 ${WIDTH} ${px(height)}" font-family="${FONT}" role="img">`,
    `<title>${escape(options.title ?? "Clones over time")}</title>`,
    '<defs><pattern id="own" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">' +
      '<rect width="6" height="6" fill="#ffffff" fill-opacity="0.5"/><rect width="2" height="6" fill="#ffffff" fill-opacity="0.35"/></pattern></defs>',
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

type Scale = (seconds: number) => number;

function scaleOf(endSeconds: number): Scale {
  const span = endSeconds > 0 ? endSeconds : 1;
  return (seconds) => LEFT + (seconds / span) * (WIDTH - LEFT - RIGHT);
}

function heading(clones: readonly CloneTrace[], { hosts, imageBytes, title = "Clones over time" }: TimelineOptions, layout: Layout): string {
  const rackOf = new Map(hosts.map((host) => [host.name, host.rack]));
  const network = clones.filter((clone) => clone.sourceHost !== clone.targetHost);
  const across = network.filter((clone) => rackOf.has(clone.sourceHost) && rackOf.get(clone.sourceHost) !== rackOf.get(clone.targetHost));
  const facts = clones.length === 0 ? "nothing is copied" : [
    `${plural(clones.length, "copy", "copies")} of ${formatBytes(imageBytes)}`,
    `${formatSeconds(layout.endSeconds)} to the last`,
    `${network.length} over the network`, `${across.length} across racks`,
  ].join(" · ");
  const key = (at: number, swatch: string, text: string): string =>
    `<g transform="translate(${at},58)">${swatch}<text x="28" y="9" font-size="11" fill="${FAINT}">${text}</text></g>`;
  const block = (more: string): string => `<rect width="22" height="10" rx="2" fill="#3e7cb1"/>${more}`;
  return [
    `<text x="16" y="26" font-size="17" font-weight="600" fill="${INK}">${escape(title)}</text>`,
    `<text x="16" y="46" font-size="12" fill="${FAINT}">${escape(facts)}</text>`,
    key(16, block(""), "colour: the host that feeds the copy"),
    key(268, block('<rect width="22" height="10" rx="2" fill="none" stroke="#1f2933" stroke-width="1.6"/>'), "outlined: across racks"),
    key(438, block('<rect width="22" height="10" rx="2" fill="url(#own)"/>'), "hatched: on the same host"),
    key(628, '<path d="M11 -1 L16 5 L11 11 L6 5 Z" fill="#d64545"/>', "its source was replaced"),
  ].join("\n");
}

function bands(layout: Layout): string {
  return layout.bands.map(({ rack, y, height }, i) => [
    `<rect x="8" y="${px(TOP + y - 3)}" width="${WIDTH - 16}" height="${px(height + 6)}" rx="4" fill="${i % 2 === 0 ? "#f4f6f8" : "#eaeef2"}"/>`,
    rack === "" ? "" : `<text x="16" y="${px(TOP + y + 9)}" font-size="11" font-weight="600" fill="${FAINT}">${escape(short(rack, 11))}</text>`,
  ].join("")).join("\n");
}

function axis(layout: Layout, x: Scale): string {
  const bottom = TOP + layout.height + 4;
  return ticks(layout.endSeconds).map((seconds) => {
    const at = px(x(seconds));
    return `<line x1="${at}" y1="${TOP - 6}" x2="${at}" y2="${px(bottom)}" stroke="#cbd2d9" stroke-width="1"/>` +
      `<text x="${at}" y="${TOP - 10}" font-size="10" text-anchor="middle" fill="${FAINT}">${clockText(seconds)}</text>` +
      `<text x="${at}" y="${px(bottom + 14)}" font-size="10" text-anchor="middle" fill="${FAINT}">${clockText(seconds)}</text>`;
  }).join("\n");
}

function bars(row: Row, x: Scale, colours: Colours, imageBytes: number): string {
  return row.bars.map((bar) => {
    const { clone, stretches, y, height } = bar;
    const top = px(TOP + y);
    const pieces = stretches.map((stretch) => piece(stretch, row, top, height, x, colours));
    const breaks = stretches.slice(1).map(({ fromSeconds }) => {
      const at = px(x(fromSeconds));
      const middle = TOP + y + height / 2;
      const half = Math.max(3, height / 2);
      return `<path d="M${at} ${px(middle - half)} L${px(x(fromSeconds) + half)} ${px(middle)} L${at} ${px(middle + half)} L${px(x(fromSeconds) - half)} ${px(middle)} Z" fill="#d64545"/>`;
    });
    const seconds = clone.endSeconds - clone.startSeconds;
    const rate = seconds > 0 ? `${formatBytes(imageBytes / seconds)}/s` : "at once";
    const about = `${clone.slot} from ${clone.source} on ${clone.sourceHost}: ${clone.startSeconds.toFixed(1)} to ${clone.endSeconds.toFixed(1)} s, ${rate}`;
    return `<g><title>${escape(about)}</title>${pieces.join("")}${breaks.join("")}${caption(bar, rate, x, row.host.name)}</g>`;
  }).join("\n");
}

function piece({ sourceHost, fromSeconds, toSeconds }: Stretch, row: Row, top: string, height: number, x: Scale, colours: Colours): string {
  const left = x(fromSeconds);
  const box = `x="${px(left)}" y="${top}" width="${px(Math.max(1, x(toSeconds) - left - 0.6))}" height="${px(height)}" rx="${height > 8 ? 2 : 1}"`;
  const across = colours.rackOf(sourceHost) !== row.host.rack;
  const outline = across && height > 4 ? ` stroke="${INK}" stroke-width="1.2"` : "";
  return `<rect ${box} fill="${colours.of(sourceHost)}"${outline}/>` +
    (sourceHost === row.host.name ? `<rect ${box} fill="url(#own)"/>` : "");
}

/** As much as fits into its longest stretch: member and feeder and rate, or the rate alone; else as much as fits behind it. */
function caption({ clone, stretches, freeUntilSeconds, y, height }: Bar, rate: string, x: Scale, host: string): string {
  if (height < 8) return "";
  const size = Math.min(10, height - 1.5);
  const feeder = clone.sourceHost === host ? "" : ` from ${clone.sourceHost}`;
  const texts = [`${clone.slot}${feeder} · ${rate}`, `${clone.slot} · ${rate}`, rate];
  const fitting = (fromX: number, toX: number): string | undefined => texts.find((text) => text.length <= (toX - fromX - 8) / (size * 0.58));
  const longest = stretches.reduce((most, one) => (one.toSeconds - one.fromSeconds > most.toSeconds - most.fromSeconds ? one : most));
  const endX = x(clone.endSeconds);
  // The point of a mark stands into the stretch that it begins.
  const insideX = x(longest.fromSeconds) + (longest === stretches[0] ? 0 : height / 2);
  const inside = fitting(insideX, x(longest.toSeconds));
  const text = inside ?? fitting(endX, Math.min(WIDTH - RIGHT, x(freeUntilSeconds)));
  if (!text) return "";
  const at = inside ? insideX + 5 : endX + 4;
  return `<text x="${px(at)}" y="${px(TOP + y + height / 2 + size * 0.36)}" font-size="${px(size)}" fill="${inside ? INK : FAINT}">${escape(text)}</text>`;
}

/** From the feeding host's row to the bar's beginning, bowed to the left; nothing within a host. */
function arrows(layout: Layout, clones: readonly CloneTrace[], x: Scale, colours: Colours): string {
  const between = clones.filter((clone) => clone.sourceHost !== clone.targetHost).length;
  if (between === 0 || between > MOST_ARROWS) return "";
  const lines = [...layout.rows.values()].flatMap((row) => row.bars.flatMap(({ clone, stretches, y, height }) =>
    stretches.filter(({ sourceHost }) => sourceHost !== clone.targetHost).map(({ sourceHost, fromSeconds }) => {
      const source = layout.rows.get(sourceHost);
      if (!source) return "";
      const at = x(fromSeconds);
      const fromY = TOP + source.y + source.height / 2;
      const toY = TOP + y + height / 2;
      const bow = Math.min(58, 8 + Math.abs(toY - fromY) * 0.16);
      const across = colours.rackOf(sourceHost) !== row.host.rack;
      const head = `<path d="M${px(at)} ${px(toY)} l-5 -2.6 l0 5.2 Z" fill="${colours.dark(sourceHost)}"/>`;
      return `<path d="M${px(at)} ${px(fromY)} C${px(at - bow)} ${px(fromY)} ${px(at - bow)} ${px(toY)} ${px(at - 4)} ${px(toY)}" fill="none" ` +
        `stroke="${colours.dark(sourceHost)}" stroke-width="${across ? 1.8 : 1}" stroke-opacity="0.85"/>${head}`;
    })));
  return lines.join("\n");
}

function label(row: Row, colours: Colours): string {
  const middle = TOP + row.y + row.height / 2;
  return `<rect x="88" y="${px(middle - 4)}" width="8" height="8" rx="1.5" fill="${colours.of(row.host.name)}"/>` +
    `<text x="101" y="${px(middle + 3.6)}" font-size="10.5" fill="${INK}">${escape(short(row.host.name, 9))}</text>`;
}

interface Colours {
  of(host: string): string;
  dark(host: string): string;
  rackOf(host: string): string | undefined;
}

/** A rack is a range of hues, its hosts differ within it. */
function coloursOf(layout: Layout): Colours {
  const racks = layout.bands.length;
  const found = new Map<string, { hue: number; light: number; rack: string }>();
  layout.bands.forEach(({ rack, rows }, r) => rows.forEach((row, i) => {
    const range = (360 / racks) * 0.82;
    const hue = ((360 / racks) * r + 205 + (rows.length > 1 ? (range * i) / rows.length : 0)) % 360;
    found.set(row.host.name, { hue, light: [72, 80, 66][i % 3]!, rack });
  }));
  const colour = (host: string, darker: number): string => {
    const { hue, light } = found.get(host) ?? { hue: 0, light: 72 };
    return `hsl(${hue.toFixed(0)},64%,${light - darker}%)`;
  };
  return { of: (host) => colour(host, 0), dark: (host) => colour(host, 34), rackOf: (host) => found.get(host)?.rack };
}

/** Round times, about eight of them. */
function ticks(endSeconds: number): number[] {
  if (endSeconds <= 0) return [0];
  const rough = endSeconds / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((times) => times * power >= rough) ?? 10);
  const count = Math.floor(endSeconds / step + 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => i * step);
}

const clockText = (seconds: number): string => (seconds === 0 ? "0" : formatSeconds(Number(seconds.toPrecision(6))));

const short = (text: string, most: number): string => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);

const px = (value: number): string => (Math.round(value * 10) / 10).toString();

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" })[c]!)
    // eslint-disable-next-line no-control-regex
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "?");
}
