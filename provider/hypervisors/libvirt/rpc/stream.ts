import type { RpcConnection } from "./connection";
import { MessageStatus, MessageType, STREAM_CHUNK_BYTES } from "./protocol";
import { XdrWriter } from "./xdr";

/** What a sparse upload is made of: bytes, or the length of a hole. */
export type UploadChunk = { data: Buffer } | { holeBytes: number };

/**
 * Feeds an upload stream (virnetprotocol.x, VIR_NET_STREAM and VIR_NET_STREAM_HOLE) and waits for the daemon's word
 * that all is written. An abort, or an error of the source, aborts the stream on the daemon.
 */
export async function uploadStream(
  rpc: RpcConnection, proc: number, serial: number, chunks: AsyncIterable<UploadChunk>, signal?: AbortSignal,
): Promise<void> {
  let failure: Error | undefined;
  let unregister = (): void => undefined;
  const finished = new Promise<void>((resolve, reject) => {
    unregister = rpc.registerStream(serial, {
      onEnd: resolve,
      onError: (error) => {
        failure = error;
        reject(error);
      },
    });
  });
  finished.catch(() => undefined); // awaited below; may fail while we still send
  try {
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      if (failure) throw failure;
      if ("holeBytes" in chunk) {
        const hole = new XdrWriter().u64(chunk.holeBytes).u32(0).toBuffer();
        await rpc.sendStream(proc, serial, MessageType.streamHole, MessageStatus.continue, hole);
        continue;
      }
      for (let offset = 0; offset < chunk.data.length; offset += STREAM_CHUNK_BYTES) {
        const part = chunk.data.subarray(offset, offset + STREAM_CHUNK_BYTES);
        await rpc.sendStream(proc, serial, MessageType.stream, MessageStatus.continue, part);
      }
    }
    await rpc.sendStream(proc, serial, MessageType.stream, MessageStatus.ok, Buffer.alloc(0));
    await finished;
  } catch (error) {
    if (!failure && rpc.isOpen) {
      await rpc.sendStream(proc, serial, MessageType.stream, MessageStatus.error, Buffer.alloc(0)).catch(() => undefined);
    }
    throw error;
  } finally {
    unregister();
  }
}
