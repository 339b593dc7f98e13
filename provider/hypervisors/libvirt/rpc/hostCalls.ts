import { ErrorCode, Proc } from "./protocol";
import { isLibvirtError, LibvirtError } from "./errors";
import { XdrWriter, type XdrReader } from "./xdr";

/** What is asked of a host as such: calls that change nothing there. */
export abstract class HostCalls {
  protected abstract remote(proc: number, name: string, args: XdrWriter, timeoutMs?: number): Promise<XdrReader>;

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
  /** Undefined: the host's libvirt cannot tell (it was built without its interface driver). */
  interfaceIsThere(name: string): Promise<boolean | undefined> {
    const asked = this.remote(Proc.interfaceLookupByName, "interfaceLookupByName", new XdrWriter().string(name));
    return asked.then(() => true, (error: unknown) => {
      if (!(error instanceof LibvirtError)) throw error;
      return isLibvirtError(error, ErrorCode.noInterface) ? false : undefined;
    });
  }
}
