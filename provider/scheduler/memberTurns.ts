/**
 * From images to machines: what is made of an image that is there (delta, definition, start) takes its host for a while,
 * so members of one host take turns, and over the whole fleet only so many are made at once. Where a host gets many
 * members over one replica this is most of a run.
 */
import { Heap } from "../heap";

/** A member's image is there. */
export interface ReadyImage {
  host: string;
  atSeconds: number;
}

export interface Turns {
  /** Of its host's time, for each member. */
  memberSeconds: number;
  /** What the last one takes beyond its turn. */
  finishSeconds: number;
}

/** More is no start of a machine any more, but something that went wrong. */
const MOST_MEMBER_SECONDS = 60;
/** So many members of one host tell what each takes; fewer tell what comes after. */
const TELLING_MEMBERS = 3;
const LATEST_WEIGHT = 0.6;

/** When the last member's turn is over. 0 without members. @param atOnce over all hosts, at least 1 */
export const lastTurnSeconds = (images: readonly ReadyImage[], memberSeconds: number, atOnce: number): number =>
  turnEnds(images, memberSeconds, atOnce).reduce((last, atSeconds) => Math.max(last, atSeconds), 0);

/** When each member's turn is over, in no order. @param atOnce as of lastTurnSeconds */
export function turnEnds(images: readonly ReadyImage[], memberSeconds: number, atOnce: number): number[] {
  // Who takes no time keeps nobody waiting.
  if (memberSeconds === 0) return images.map(({ atSeconds }) => atSeconds);
  const queues = new Map<string, number[]>();
  for (const { host, atSeconds } of [...images].sort((a, b) => a.atSeconds - b.atSeconds)) {
    const queue = queues.get(host);
    if (queue) queue.push(atSeconds);
    else queues.set(host, [atSeconds]);
  }
  const hosts = new Heap<{ queue: number[]; done: number; fromSeconds: number }>(
    (a, b) => a.fromSeconds < b.fromSeconds, [...queues.values()].map((queue) => ({ queue, done: 0, fromSeconds: queue[0]! })),
  );
  const places = new Heap<number>((a, b) => a < b, new Array<number>(Math.min(atOnce, queues.size)).fill(0));
  const ends: number[] = [];
  for (let host = hosts.pop(); host; host = hosts.pop()) {
    const end = Math.max(host.fromSeconds, places.pop()!) + memberSeconds;
    places.push(end);
    ends.push(end);
    const next = host.queue[++host.done];
    if (next === undefined) continue;
    host.fromSeconds = Math.max(next, end);
    hosts.push(host);
  }
  return ends;
}

/**
 * When the last guest is ready: at most so many boot at once, in the order they may.
 * @param starts when each may be started
 * @param atOnce over all hosts, at least 1
 */
export function lastReadySeconds(starts: readonly number[], guestSeconds: number, atOnce: number): number {
  const sorted = [...starts].sort((a, b) => a - b);
  const readyAt: number[] = [];
  // All take the same time: who began first ends first, so that the place of the one before the last `atOnce` is free next.
  sorted.forEach((atSeconds, index) => readyAt.push(Math.max(atSeconds, index >= atOnce ? readyAt[index - atOnce]! : 0) + guestSeconds));
  return readyAt.at(-1) ?? 0;
}

/**
 * What a run taught in which the last member was ready then.
 * @param before what was known, or said
 * @param isFirst it was said only: the run counts alone
 */
export function learnTurns(images: readonly ReadyImage[], atOnce: number, readySeconds: number, before: Turns, isFirst: boolean): Turns {
  const ofHost = new Map<string, number>();
  for (const { host } of images) ofHost.set(host, (ofHost.get(host) ?? 0) + 1);
  const weight = isFirst ? 1 : LATEST_WEIGHT;
  const blend = (old: number, now: number): number => Math.round(1e6 * (old + weight * (now - old))) / 1e6;
  const { memberSeconds, finishSeconds } = before;
  if (Math.max(0, ...ofHost.values()) >= TELLING_MEMBERS) {
    return { memberSeconds: blend(memberSeconds, fittingSeconds(images, atOnce, readySeconds - finishSeconds)), finishSeconds };
  }
  const rest = readySeconds - lastTurnSeconds(images, memberSeconds, atOnce);
  if (rest >= 0) return { memberSeconds, finishSeconds: blend(finishSeconds, rest) };
  return { memberSeconds: blend(memberSeconds, fittingSeconds(images, atOnce, readySeconds)), finishSeconds: blend(finishSeconds, 0) };
}

/** With turns of this length the last is over then; 0 where the images themselves came later. */
function fittingSeconds(images: readonly ReadyImage[], atOnce: number, lastSeconds: number): number {
  let [least, most] = [0, MOST_MEMBER_SECONDS];
  for (let i = 0; i < 40; i++) {
    const middle = (least + most) / 2;
    if (lastTurnSeconds(images, middle, atOnce) > lastSeconds) most = middle;
    else least = middle;
  }
  return least;
}
