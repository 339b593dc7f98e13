/** Providers in processes of their own, warm before they are needed, and their deaths. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { ChildOrder, ChildWord } from "./provider-child";

/** killed: it died at that call. Else how it ended before its time came. */
export type Death = { killed: true; call: string; calls: number } | { killed: false; word: Exclude<ChildWord, { call: string }>; calls: number };

export class Providers {
  private spare: ChildProcess | undefined;

  /** Loads its modules while something else is done. */
  warm(): void {
    this.spare ??= fork(join(__dirname, "provider-child.ts"), { execArgv: ["--require", "tsx/cjs"], stdio: ["ignore", "ignore", "inherit", "ipc"] });
  }

  close(): void {
    this.spare?.kill("SIGKILL");
    this.spare = undefined;
  }

  /** Applies, and is killed so many milliseconds after it began its `atCall`-th call (1 is the first). */
  async killed(order: ChildOrder, atCall: number, afterMs: number): Promise<Death> {
    this.warm();
    const child = this.spare!;
    this.spare = undefined;
    let calls = 0;
    let last = "none";
    let ended: Exclude<ChildWord, { call: string }> | undefined;
    let timer: NodeJS.Timeout | undefined;
    child.on("message", (word: ChildWord) => {
      if ("ended" in word) {
        ended = word;
        return;
      }
      last = word.call;
      if (++calls === atCall) timer = setTimeout(() => child.kill("SIGKILL"), afterMs);
    });
    const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
    child.send(order);
    this.warm();
    const [code, signal] = await exited;
    clearTimeout(timer);
    if (ended) return { killed: false, word: ended, calls };
    if (signal === "SIGKILL" && calls >= atCall) return { killed: true, call: last, calls };
    throw new Error(`the provider ended by itself (${signal ?? `code ${code}`}) at ${last}`);
  }
}
