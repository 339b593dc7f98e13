/** One copy in a process of its own, to be killed: inputs, fleet id and target come as JSON, progress goes out by lines. */
import type { CloneOrder } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { specOf } from "./labFleet";

const { inputs, order } = JSON.parse(process.argv[2]!) as { inputs: Record<string, unknown>; order: CloneOrder };

async function main(): Promise<void> {
  const hv = createLibvirt({ spec: specOf(inputs) });
  const { bytesMoved } = await hv.clone(order, { onProgress: (done) => process.stdout.write(`${done}\n`) });
  process.stdout.write(`moved ${bytesMoved}\n`);
  await hv.close();
}

void main();
