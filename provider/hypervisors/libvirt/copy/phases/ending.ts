import { within } from "../../../../async/within";
import type { Copying } from "./copying";
import type { Phase, PhaseOf } from "./phase";

/** Readers that take longer than this do not keep the copy's own source waiting. */
const READER_PATIENCE_MS = 1_000;

/** All is there: whoever fed the copy may end, however long that goes on for those that read from it. */
export async function letGo({ copy, context, clock, orders, pacer }: Copying, { rig, reading }: PhaseOf<"lettingGo">): Promise<Phase> {
  const { feed } = reading;
  pacer.end(copy);
  // While its readers still read: what is left to write then is little.
  await rig.helper.flush();
  orders.complete();
  copy.isThere.pass();
  // Readers as quick as the copy end right behind it, and an exchange would only hold them up.
  await within(clock, READER_PATIENCE_MS, copy.unread(context.signal));
  if (!copy.isRead) return { name: "closing", rig, feed };
  if (feed.at) await rig.pull.disconnect();
  void feed.close();
  return { name: "closing", rig };
}

/** Nobody reads from it any more. */
export async function close({ copy, context }: Copying, { rig, feed }: PhaseOf<"closing">): Promise<Phase> {
  await copy.unread(context.signal);
  await copy.recorder?.finish();
  await rig.pull.cancel(context.signal);
  // The source's host need not be done before this one closes its file.
  const [, finished] = await Promise.allSettled([feed?.close(), rig.helper.finish()]);
  if (finished.status === "rejected") throw finished.reason;
  return { name: "done" };
}
