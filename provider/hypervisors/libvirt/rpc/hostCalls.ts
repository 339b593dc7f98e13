import { ErrorCode, Flag, Proc, QemuProc } from "./protocol";
import { isLibvirtError, LibvirtError } from "./errors";
import { type Domain, writeDomain } from "./handles";
import { XdrWriter, type XdrReader } from "./xdr";

/** VIR_NODE_MEMORY_STATS_ALL_CELLS */
const ALL_CELLS = -1;

/** Beyond what the agent itself may take: libvirt makes sure that it is there first, which takes 5 s at most. */
const AGENT_MARGIN_MS = 8_000;

/** What is asked of a host as such, and of its guests: calls that change nothing there. */
export abstract class HostCalls {
  protected abstract remote(proc: number, name: string, args: XdrWriter, timeoutMs?: number): Promise<XdrReader>;
  protected abstract qemu(proc: number, name: string, args: XdrWriter, timeoutMs?: number): Promise<XdrReader>;

  async hostname(): Promise<string> {
    return (await this.remote(Proc.connectGetHostname, "connectGetHostname", new XdrWriter())).string();
  }
  /** 9_000_000 is 9.0.0. */
  async libVersion(): Promise<number> {
    return (await this.remote(Proc.connectGetLibVersion, "connectGetLibVersion", new XdrWriter())).u64();
  }
  async capabilities(): Promise<string> {
    return (await this.remote(Proc.connectGetCapabilities, "connectGetCapabilities", new XdrWriter())).string();
  }
  async domainCapabilities(arch: string, virtType: string, machine?: string): Promise<string> {
    const args = new XdrWriter().optionalString(null).optionalString(arch).optionalString(machine).optionalString(virtType).u32(0);
    return (await this.remote(Proc.connectGetDomainCapabilities, "connectGetDomainCapabilities", args)).string();
  }
  /** Whether a machine of this definition could be started here, disks and networks aside. @throws LibvirtError why not */
  async assertStartable(domainXml: string): Promise<void> {
    await this.remote(Proc.connectDomainXmlToNative, "connectDomainXmlToNative", new XdrWriter().string("qemu-argv").string(domainXml).u32(0));
  }
  /** Of QEMU; 7_002_000 is 7.2.0. */
  async hypervisorVersion(): Promise<number> {
    return (await this.remote(Proc.connectGetVersion, "connectGetVersion", new XdrWriter())).u64();
  }
  /** Undefined: this libvirt does not tell. */
  async memory(): Promise<{ totalBytes: number; availableBytes: number } | undefined> {
    const call = (count: number) => this.remote(Proc.nodeGetMemoryStats, "nodeGetMemoryStats", new XdrWriter().i32(count).i32(ALL_CELLS).u32(0));
    try {
      const counted = await call(0);
      counted.list((r) => r);
      const kibibytes = new Map((await call(counted.i32())).list((r) => [r.string(), r.u64()] as const));
      const of = (name: string): number => (kibibytes.get(name) ?? 0) * 1024;
      return of("total") > 0 ? { totalBytes: of("total"), availableBytes: of("free") + of("buffers") + of("cached") } : undefined;
    } catch (error) {
      if (!(error instanceof LibvirtError)) throw error;
      return undefined;
    }
  }
  /** Undefined: the host's libvirt cannot tell (it was built without its interface driver). */
  interfaceIsThere(name: string): Promise<boolean | undefined> {
    const asked = this.remote(Proc.interfaceLookupByName, "interfaceLookupByName", new XdrWriter().string(name));
    return asked.then(() => true, (error: unknown) => {
      if (!(error instanceof LibvirtError)) throw error;
      return isLibvirtError(error, ErrorCode.noInterface) ? false : undefined;
    });
  }

  // ---- guests, which may say anything
  /**
   * What the agent in a guest answers to a command without arguments, as it came.
   * @throws LibvirtError: it did not, or refused; CallTimeoutError
   */
  async agentCommand(domain: Domain, execute: string, seconds: number): Promise<string> {
    const args = writeDomain(new XdrWriter(), domain).string(JSON.stringify({ execute })).i32(seconds).u32(0);
    return (await this.qemu(QemuProc.domainAgentCommand, "qemuDomainAgentCommand", args, seconds * 1000 + AGENT_MARGIN_MS)).optionalString() ?? "";
  }
  /** By card. @param source AddressSource */
  async interfaceAddresses(domain: Domain, source: number): Promise<{ hardware: string | null; addresses: string[] }[]> {
    const args = writeDomain(new XdrWriter(), domain).u32(source).u32(0);
    return (await this.remote(Proc.domainInterfaceAddresses, "domainInterfaceAddresses", args)).list((r) => {
      r.string(); // what the card is called
      const hardware = r.optionalString();
      const addresses = r.list((one) => {
        one.i32(); // its family
        const address = one.string();
        one.u32(); // its prefix
        return address;
      });
      return { hardware, addresses };
    });
  }
  /** That it gave when it asked for its lease. @throws LibvirtError: it gave none */
  async leaseHostname(domain: Domain): Promise<string> {
    return (await this.remote(Proc.domainGetHostname, "domainGetHostname", writeDomain(new XdrWriter(), domain).u32(Flag.hostnameByLease))).string();
  }
}
