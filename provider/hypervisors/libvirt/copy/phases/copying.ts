import type { Feed, Resolved } from "../feeds";
import { Flushing } from "../flushing";
import { KnownHoles } from "../knownHoles";
import { Pull } from "../pull";
import type { TransferOptions } from "../transferOptions";
import { WantedRoom } from "../wantedRoom";
import { Yielding } from "../yielding";
import { within } from "../../../../async/within";
import { SourceLostError, type ImageRef } from "../../../hypervisor";
import type { Extent } from "../../holes/extents";
import { Account } from "./account";
import type { Origin, Rig } from "./phase";
import { SourceOrders } from "./sourceOrders";

/** How often a copy is looked at, at least. */
export const POLL_MS = 100;
/** Under way at most where guests wait behind a copy. */
export const GUESTS_IN_FLIGHT_BYTES = 4 << 20;
const STOP_PATIENCE_MS = 3_000;

/** One copy from its first phase to its last. */
export interface Copying extends TransferOptions {
  account: Account;
  orders: SourceOrders;
  holes: KnownHoles;
  room: WantedRoom;
  flushing: Flushing;
  yielding: Yielding;
}

export const beginCopying = (options: TransferOptions): Copying => ({
  ...options,
  account: new Account(options.targetHost), orders: new SourceOrders(), holes: new KnownHoles(options.copy, options.map),
  room: new WantedRoom(options), flushing: new Flushing(options.clock), yielding: new Yielding(options.copy, options.clock),
});

export async function startRig({ startHelper }: Copying, over: Resolved | undefined): Promise<Rig> {
  const helper = await startHelper(over);
  return { helper, pull: new Pull(helper) };
}

/** @returns where the image's data is, as far as the helper has a map of it */
export async function openToReaders({ holes, copy }: Copying, { helper }: Rig): Promise<readonly Extent[] | undefined> {
  const extents = await holes.attach(helper);
  await copy.hasHelper(helper);
  return extents;
}

/** Its `close` counts once, however often it is called. */
export async function openFeed({ account, openFeed: open }: Copying, ref: ImageRef, from: Resolved): Promise<Feed> {
  account.asks(ref, from);
  const feed = await open(from);
  let closing: Promise<void> | undefined;
  return { ...feed, close: () => closing ??= feed.close() };
}

/** A host that died does not answer; its helpers die with our connection, and the next source need not wait. */
export async function drop({ clock }: Copying, { rig, feed }: { rig?: Rig; feed?: Feed }): Promise<void> {
  await rig?.pull.yank().catch(() => undefined);
  await within(clock, STOP_PATIENCE_MS, Promise.all([rig?.helper.stop(), feed?.close()]));
}

export const lost = ({ targetHost }: Copying, { feed, ref }: Origin, message: string, cause?: unknown): SourceLostError =>
  new SourceLostError(feed?.host ?? ("host" in ref ? ref.host ?? "" : ""), targetHost, message, { cause });
