/** A new member's own copy of what its template's firmware keeps. It goes with the member. */
import type { Here } from "../connection/place";
import { deleteVolume } from "../guard/guard";
import type { UploadChunk } from "../rpc/stream";
import { volumeName, type VolumeScope } from "../volumes/names";
import { ensureVolume, volumeFacts } from "../volumes/volumes";
import type { TemplateMachine } from "../xml/memberDefinition";

interface Slot {
  slot: number;
  generation: number;
}

export const variablesName = (scope: VolumeScope, { slot, generation }: Slot): string => volumeName(scope, { kind: "firmware", slot, generation });

/** @returns where it is, for the definition; nothing where its host's firmware makes them new */
export async function putVariables(here: Here, of: Slot, like: { own: string } | { template: TemplateMachine } | undefined): Promise<{ nvram?: string }> {
  const bytes = like && "template" in like ? like.template.variables : undefined;
  if (!bytes) return {};
  const { client, scope } = here;
  const name = variablesName(scope, of);
  await deleteVolume(here, name); // of a run that did not get to the member
  const volume = await ensureVolume(here, name, bytes.length, "raw");
  await client.uploadVolume(volume, bytes.length, once(bytes));
  return { nvram: (await volumeFacts(client, volume)).path };
}

async function* once(data: Buffer): AsyncGenerator<UploadChunk> {
  yield { data };
}
