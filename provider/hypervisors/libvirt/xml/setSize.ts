/** What is declared of processors and memory, set in a machine's definition; what would not go with it any more goes. */
import { allBelow, append, attribute, below, childOf, children, remove, setText, type Element } from "./definition";

/** @param size what it has, and what it can be given while it runs */
export function setSize(root: Element, { numCpus, memory, maxCpus, maxMemory }: { numCpus?: number; memory?: number; maxCpus?: number; maxMemory?: number }): void {
  if (numCpus !== undefined || maxCpus !== undefined) {
    const vcpu = childOf(root, "vcpu");
    const has = numCpus ?? Number(attribute(vcpu, "current") ?? vcpu.textContent);
    setCpus(root, Math.max(has, maxCpus ?? has));
    if (maxCpus !== undefined && maxCpus > has) vcpu.setAttribute("current", String(has));
  }
  if (memory === undefined && maxMemory === undefined) return;
  const has = memory ?? Math.round(mebibytes(below(root, "currentMemory") ?? below(root, "memory")));
  setMemory(root, Math.max(has, maxMemory ?? has));
  if (maxMemory === undefined || maxMemory <= has) return;
  const current = below(root, "currentMemory") ?? append(root, { currentMemory: {} });
  current.setAttribute("unit", "MiB");
  setText(current, String(has));
}

function setCpus(root: Element, numCpus: number): void {
  const vcpu = childOf(root, "vcpu");
  const before = Number(vcpu.textContent);
  setText(vcpu, String(numCpus));
  vcpu.removeAttribute("current");
  if (before === numCpus) return;
  remove(below(root, "vcpus"), below(root, "cpu", "topology"));
  // libvirt refuses them where they name a CPU that is not there.
  remove(...["vcpusched", "cachetune", "memorytune"].flatMap((name) => allBelow(root, "cputune", name)).filter((tune) => highest(attribute(tune, "vcpus")) >= numCpus));
  const cell = onlyCell(root);
  if (cell?.hasAttribute("cpus")) cell.setAttribute("cpus", numCpus === 1 ? "0" : `0-${numCpus - 1}`);
}

const highest = (cpus = ""): number => Math.max(-1, ...[...cpus.matchAll(/\d+/g)].map(([cpu]) => Number(cpu)));

/** MiB. Its NUMA cells have the memory that a machine starts with, whatever it says beside them; memory that was plugged in counts, too. */
function setMemory(root: Element, memory: number): void {
  const now = below(root, "memory");
  const isChanged = !now || mebibytes(now) !== memory;
  for (const element of [childOf(root, "memory"), ...children(root, "currentMemory")]) {
    element.setAttribute("unit", "MiB");
    setText(element, String(memory));
  }
  const most = below(root, "maxMemory");
  if (most && mebibytes(most) < memory) remove(most);
  if (!isChanged) return;
  remove(...["hard_limit", "swap_hard_limit"].flatMap((name) => allBelow(root, "memtune", name))); // a machine that outgrows them is killed
  remove(...allBelow(root, "devices", "memory").filter((device) => ["dimm", "virtio-mem"].includes(attribute(device, "model") ?? "")));
  const cell = onlyCell(root);
  cell?.setAttribute("memory", String(memory));
  cell?.setAttribute("unit", "MiB");
}

/** A machine of several cells is none of them when it has another size: who divides it anew does so with `vm.xml`. */
function onlyCell(root: Element): Element | undefined {
  const cells = allBelow(root, "cpu", "numa", "cell");
  if (cells.length <= 1) return cells[0];
  remove(below(root, "cpu", "numa"), ...allBelow(root, "numatune", "memnode"), ...allBelow(root, "devices", "memory").filter((device) => below(device, "target", "node")));
  if (allBelow(root, "devices", "memory").length === 0) remove(below(root, "maxMemory"));
  return undefined;
}

/** MiB, of a machine when it starts. */
export const memoryOf = (root: Element): number => Math.round(mebibytes(below(root, "memory")));

const FACTORS: Readonly<Record<string, number>> = { b: 1, bytes: 1, KB: 1e3, k: 1024, KiB: 1024, MB: 1e6, M: 2 ** 20, MiB: 2 ** 20, GB: 1e9, G: 2 ** 30, GiB: 2 ** 30, TB: 1e12, T: 2 ** 40, TiB: 2 ** 40 };
const mebibytes = (element: Element | undefined): number => (Number(element?.textContent ?? 0) * (FACTORS[attribute(element, "unit") ?? "KiB"] ?? 1024)) / 2 ** 20;
