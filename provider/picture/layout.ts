/** Where everything of a timeline stands: hosts down, grouped by rack, time across. */
import type { CloneTrace } from "../engine/types";

export interface TimelineHost {
  name: string;
  rack: string;
}

/** A stretch of a copy fed by one source. */
export interface Stretch {
  sourceHost: string;
  fromSeconds: number;
  toSeconds: number;
}

export interface Bar {
  clone: CloneTrace;
  stretches: Stretch[];
  /** Nothing stands in its lane from its end to then; Infinity: to the right edge. */
  freeUntilSeconds: number;
  y: number;
  height: number;
}

export interface Row {
  host: TimelineHost;
  y: number;
  height: number;
  bars: Bar[];
}

export interface Band {
  rack: string;
  y: number;
  height: number;
  rows: Row[];
}

export interface Layout {
  bands: Band[];
  rows: Map<string, Row>;
  height: number;
  laneHeight: number;
  endSeconds: number;
}

/** Lanes are as high as reads well, or as fits. */
const LANE = { most: 18, least: 3 };
const ROW = { least: 11, gap: 3 };
const BAND_GAP = 8;
const COMFORTABLE_HEIGHT = 2200;

/** @param hosts in the order in which they are shown; hosts that only traces name follow */
export function layOut(clones: readonly CloneTrace[], hosts: readonly TimelineHost[]): Layout {
  const known = new Set(hosts.map((host) => host.name));
  const others = [...new Set(clones.flatMap(hostsOf))].filter((name) => !known.has(name));
  const all = [...others.map((name) => ({ name, rack: "" })), ...hosts];
  const into = new Map<string, CloneTrace[]>(all.map((host) => [host.name, []]));
  for (const clone of clones) into.get(clone.targetHost)!.push(clone);
  const lanes = new Map([...into].map(([host, own]) => [host, lanesOf(own)]));
  const laneCount = all.reduce((sum, { name }) => sum + Math.max(1, lanes.get(name)!.length), 0);
  const laneHeight = Math.max(LANE.least, Math.min(LANE.most, Math.floor(COMFORTABLE_HEIGHT / laneCount)));

  const rows = new Map<string, Row>();
  let y = 0;
  const bands = [...new Set(all.map((host) => host.rack))].map((rack): Band => {
    const top = y;
    const inRack = all.filter((host) => host.rack === rack).map((host): Row => {
      const own = lanes.get(host.name)!;
      const height = Math.max(ROW.least, Math.max(1, own.length) * laneHeight);
      const pad = (height - own.length * laneHeight) / 2;
      const bars = own.flatMap((lane, i) => lane.map((clone, n): Bar => (
        { clone, stretches: stretchesOf(clone), freeUntilSeconds: lane[n + 1]?.startSeconds ?? Infinity, y: y + pad + i * laneHeight, height: laneHeight - 1 }
      )));
      const row = { host, y, height, bars };
      rows.set(host.name, row);
      y += height + ROW.gap;
      return row;
    });
    const band = { rack, y: top, height: y - top - ROW.gap, rows: inRack };
    y += BAND_GAP;
    return band;
  });
  const endSeconds = clones.reduce((most, clone) => Math.max(most, clone.endSeconds), 0);
  return { bands, rows, height: Math.max(0, y - BAND_GAP), laneHeight, endSeconds };
}

/** All that gave or got something of it. */
const hostsOf = ({ sourceHost, targetHost, replaced = [] }: CloneTrace): string[] =>
  [sourceHost, targetHost, ...replaced.map((one) => one.sourceHost)];

/** Copies that overlap stand below each other. */
function lanesOf(clones: CloneTrace[]): CloneTrace[][] {
  const lanes: CloneTrace[][] = [];
  const sorted = [...clones].sort((a, b) =>
    a.startSeconds - b.startSeconds || a.endSeconds - b.endSeconds || (a.slot < b.slot ? -1 : a.slot > b.slot ? 1 : 0));
  for (const clone of sorted) {
    const free = lanes.find((lane) => lane[lane.length - 1]!.endSeconds <= clone.startSeconds + 1e-9);
    if (free) free.push(clone);
    else lanes.push([clone]);
  }
  return lanes;
}

function stretchesOf({ sourceHost, startSeconds, endSeconds, replaced = [] }: CloneTrace): Stretch[] {
  let fromSeconds = startSeconds;
  const before = replaced.map((one): Stretch => {
    const stretch = { sourceHost: one.sourceHost, fromSeconds, toSeconds: one.untilSeconds };
    fromSeconds = one.untilSeconds;
    return stretch;
  });
  return [...before, { sourceHost, fromSeconds, toSeconds: endSeconds }];
}
