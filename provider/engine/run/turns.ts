import { slotKeyOn } from "../../fleet";
import type { SlotId } from "../../fleet/model";

/** Things done to one member follow each other; what is done to others goes on meanwhile. */
export class Turns {
  private readonly last = new Map<string, Promise<unknown>>();

  /** Runs `task` when all that was begun for the member before has ended, however it ended. */
  take<T>(host: string, id: SlotId, task: () => Promise<T>): Promise<T> {
    const key = slotKeyOn(host, id);
    const before = this.last.get(key);
    const mine = before ? before.then(task) : task();
    const over = mine.catch(() => undefined);
    this.last.set(key, over);
    return mine;
  }
}
