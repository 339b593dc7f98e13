/** One copy of an image: each of its disks is a transfer of its own, all at once, and all from the source that is booked for it. */
import { NoSpaceError, TemplateChangedError, type CallContext, type HintedCloneOrder, type HintedCloneResult, type ImageRef, type SourceLostError } from "../../hypervisor";
import { discardArrivals } from "../volumes/arrivals";
import { abortable } from "../../../async/abortable";
import type { Place } from "../connection/place";
import type { Copy } from "./copies";
import type { Transfer } from "./transfer";

/** Of one disk. */
export interface DiskOrder extends HintedCloneOrder {
  disk: number;
}

/** Brings one disk. */
export type CloneDisk = (order: DiskOrder, started: (transfer: Transfer) => void, context: CallContext) => Promise<HintedCloneResult>;

/** Ends after which what has arrived is of no use: it is of another content, or takes the room that is wanting. */
export const spoilsArrived = (error: unknown): boolean => error instanceof TemplateChangedError || error instanceof NoSpaceError;

export class ImageCopy {
  private readonly transfers = new Map<number, Transfer>();
  /** Where its disks are to read from. */
  private source: ImageRef;
  /** Where each of them was last told to. */
  private readonly told = new Map<number, ImageRef>();
  /** Another source is asked for once, for all disks: whoever books copies knows of one source a copy. */
  private replacing: Promise<ImageRef | null> | undefined;
  private readonly asking = new Set<number>();
  private waitingForRoom: Promise<boolean> | undefined;
  private readonly broken: { bytesMoved: number; bytesResent: number }[] = [];

  constructor(private readonly order: HintedCloneOrder) {
    this.source = order.source;
  }

  /** The template itself was, or was to be, a source of it. */
  get readsTemplate(): boolean {
    const all = [...this.transfers.values()];
    return all.length === 0 ? this.order.source.kind === "template" : all.some(({ readsTemplate }) => readsTemplate);
  }
  /** It counts only if the template is unchanged at its end. */
  get needsTemplate(): boolean {
    return [...this.transfers.values()].some(({ needsTemplate }) => needsTemplate);
  }

  /**
   * Resolves when all disks are whole. Each is served to those that read from it until all are: until then nobody finds
   * one of them finished, and the image not. What has arrived when it fails stays for the next attempt, unless it is
   * of no use.
   * @param disks that are missing: where the image stands already, those that somebody took away
   * @param copies of all its disks, in their order
   */
  async run(place: Place, disks: readonly number[], copies: readonly Copy[], cloneDisk: CloneDisk, context: CallContext): Promise<HintedCloneResult> {
    const { target, image } = this.order;
    context.signal?.throwIfAborted();
    if (disks.length === 0) return { bytesMoved: 0 };
    const startedFor = (disk: number) => (transfer: Transfer): void => this.started(disk, transfer);
    if (copies.length === 1) return cloneDisk({ ...this.order, disk: 0 }, startedFor(0), context);

    // Of those that stand nobody reads a copy: they are found finished.
    const going = disks.map((disk) => copies[disk]!);
    const releases = going.map((copy) => copy.hold());
    const release = (): void => releases.forEach((one) => one());
    void Promise.all(going.map((copy) => copy.isThere.wait())).then(release, release);
    const ending = new AbortController();
    const end = (): void => ending.abort(context.signal?.reason);
    context.signal?.addEventListener("abort", end, { once: true });
    if (context.signal?.aborted) end();
    let failure: { error: unknown } | undefined;
    const progress = new Progress(copies.map((_, disk) => (disks.includes(disk) ? image.disks[disk]?.bytes ?? 0 : 0)), context.onProgress);
    const results = await Promise.all(disks.map(async (disk): Promise<HintedCloneResult> => {
      // What is known of reads is known of the disk that guests boot from.
      const hints = disk > 0 && { readFirst: [], recordReads: false };
      try {
        return await cloneDisk(this.orderOf(disk, hints), startedFor(disk), this.contextOf(disk, context, ending.signal, progress.of(disk)));
      } catch (error) {
        failure ??= { error };
        ending.abort(error);
        return { bytesMoved: 0 };
      }
    }));
    context.signal?.removeEventListener("abort", end);
    if (!failure) return summed(results);
    context.onBroken?.(summed([...results, ...this.broken]));
    if (!context.signal?.aborted && spoilsArrived(failure.error)) await discardArrivals(place, target, image.contentId).catch(() => undefined);
    throw failure.error;
  }

  /** All its disks read from there from now on. Resolves when they do. @throws where it has not begun */
  async redirect(ref: ImageRef): Promise<void> {
    if (this.transfers.size === 0) throw new Error("the copy has not begun");
    this.source = ref;
    await Promise.all([...this.transfers.keys()].map((disk) => this.tell(disk, ref)));
  }

  /** It begins where the others read by then. */
  private orderOf(disk: number, hints: Partial<HintedCloneOrder> | false): DiskOrder {
    const source = (): ImageRef => {
      this.told.set(disk, this.source);
      return this.source;
    };
    return { ...this.order, disk, ...hints, get source() { return source(); } };
  }

  private tell(disk: number, ref: ImageRef): Promise<void> {
    this.told.set(disk, ref);
    return this.transfers.get(disk)!.redirect(ref);
  }

  private started(disk: number, transfer: Transfer): void {
    this.transfers.set(disk, transfer);
    // Another disk found its source gone while this one began.
    if ((this.told.get(disk) ?? this.order.source) !== this.source) void this.tell(disk, this.source).catch(() => undefined);
  }

  private contextOf(disk: number, { onSourceLost, onNoSpace }: CallContext, signal: AbortSignal, onProgress: CallContext["onProgress"]): CallContext {
    return {
      signal,
      ...(onProgress && { onProgress }),
      onBroken: ({ bytesMoved, bytesResent = 0 }) => void this.broken.push({ bytesMoved, bytesResent }),
      ...(onSourceLost && { onSourceLost: (error: SourceLostError) => abortable(this.sourceFor(disk, () => onSourceLost(error)), signal) }),
      ...(onNoSpace && { onNoSpace: (error: NoSpaceError) => abortable(this.waitingForRoom ??= onNoSpace(error).finally(() => { this.waitingForRoom = undefined; }), signal) }),
    };
  }

  /** One that lost what the others have left already goes where they are. */
  private async sourceFor(disk: number, ask: () => Promise<ImageRef | null>): Promise<ImageRef | null> {
    const told = this.told.get(disk) ?? this.order.source;
    let ref: ImageRef | null = this.source;
    if (told === this.source) {
      this.asking.add(disk);
      ref = await (this.replacing ??= this.replace(ask));
    }
    if (ref) this.told.set(disk, ref);
    return ref;
  }

  /** The other disks follow: nobody keeps a source for them that the copy as a whole has left. */
  private async replace(ask: () => Promise<ImageRef | null>): Promise<ImageRef | null> {
    try {
      const ref = await ask();
      if (!ref) return null;
      this.source = ref;
      for (const disk of this.transfers.keys()) if (!this.asking.has(disk)) void this.tell(disk, ref).catch(() => undefined);
      return ref;
    } finally {
      this.replacing = undefined;
      this.asking.clear();
    }
  }
}

/** What all disks have, of what all have to get. */
class Progress {
  private readonly parts: { done: number; total: number }[];

  /** @param totals what each disk will have, as far as that is known before it begins: else the first that ends would look like all */
  constructor(totals: readonly number[], private readonly tell: CallContext["onProgress"]) {
    this.parts = totals.map((total) => ({ done: 0, total }));
  }

  of(at: number): CallContext["onProgress"] {
    const { tell } = this;
    return tell && ((done, total) => {
      this.parts[at] = { done, total };
      const sum = (of: "done" | "total"): number => this.parts.reduce((all, part) => all + part[of], 0);
      tell(sum("done"), sum("total"));
    });
  }
}

function summed(results: readonly HintedCloneResult[]): HintedCloneResult {
  const sum = (of: "bytesMoved" | "bytesResent"): number => results.reduce((all, result) => all + (result[of] ?? 0), 0);
  const [first] = results;
  return {
    bytesMoved: sum("bytesMoved"), bytesResent: sum("bytesResent"),
    ...(results.some(({ resumed }) => resumed) && { resumed: true }), ...(first?.readProfile && { readProfile: first.readProfile }),
  };
}
