import type { RpcConnection } from "./connection";
import { CallTimeoutError } from "./errors";
import { MessageStatus, MessageType, STREAM_CHUNK_BYTES } from "./protocol";
import { XdrWriter } from "./xdr";

/** What a sparse upload is made of: bytes, or the length of a hole. */
export type UploadChunk = { data: Buffer } | { holeBytes: number };

/**
 * How long the daemon may take for its last word after all is sent: what it holds is still to reach a disk that may be
 * slow, but a stream has no deadline of its own, and a connection can live without ever saying another thing about it.
 */
export const LAST_WORD_MS = 600_000;

/**
 * Feeds an upload stream (virnetprotocol.x, VIR_NET_STREAM and VIR_NET_STREAM_HOLE) and waits for the daemon's word
 * that all is written. An abort, or an error of the source, aborts the stream on the daemon. The daemon's error and an
 * abort end every wait there is: for room in the socket, for the source's next chunk, for the last word.
 */
export async function uploadStream(
  rpc: RpcConnection, proc: number, serial: number, chunks: AsyncIterable<UploadChunk>, signal?: AbortSignal,
  lastWordMs = LAST_WORD_MS,
): Promise<void> {
  let failure: Error | undefined;
  let stop: (error: unknown) => void = () => undefined;
  const stopped = new Promise<never>((_, reject) => { stop = reject; });
  stopped.catch(() => undefined); // raced against each wait below; may fail between two of them
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => { end = resolve; });
  const unregister = rpc.registerStream(serial, {
    onEnd: () => end(),
    onError: (error) => {
      failure = error;
      stop(error);
    },
  });
  const aborted = (): void => stop(signal!.reason);
  signal?.addEventListener("abort", aborted, { once: true });
  if (signal?.aborted) aborted();
  const orStopped = <T>(wait: Promise<T>): Promise<T> => Promise.race([wait, stopped]);
  const source = chunks[Symbol.asyncIterator]();
  let forget = (): void => undefined;
  try {
    for (;;) {
      const next = await orStopped(source.next());
      if (next.done) break;
      const chunk = next.value;
      if ("holeBytes" in chunk) {
        const hole = new XdrWriter().u64(chunk.holeBytes).u32(0).toBuffer();
        await orStopped(rpc.sendStream(proc, serial, MessageType.streamHole, MessageStatus.continue, hole));
        continue;
      }
      for (let offset = 0; offset < chunk.data.length; offset += STREAM_CHUNK_BYTES) {
        const part = chunk.data.subarray(offset, offset + STREAM_CHUNK_BYTES);
        await orStopped(rpc.sendStream(proc, serial, MessageType.stream, MessageStatus.continue, part));
      }
    }
    forget = rpc.clock.after(lastWordMs, () => stop(new CallTimeoutError(`the end of an upload on ${rpc.peer}`, lastWordMs)));
    await orStopped(rpc.sendStream(proc, serial, MessageType.stream, MessageStatus.ok, Buffer.alloc(0)));
    await orStopped(ended);
  } catch (error) {
    // The source may be in the middle of a read: its end is asked for, not waited for.
    void source.return?.().catch(() => undefined);
    if (!failure && rpc.isOpen) rpc.sendStream(proc, serial, MessageType.stream, MessageStatus.error, Buffer.alloc(0)).catch(() => undefined);
    throw error;
  } finally {
    forget();
    signal?.removeEventListener("abort", aborted);
    unregister();
  }
}
