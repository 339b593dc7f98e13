/**
 * Numbers of libvirt's wire protocol: src/rpc/virnetprotocol.x, src/remote/remote_protocol.x, qemu_protocol.x and
 * virkeepaliveprotocol.x. They never change once released.
 */

export const Program = { remote: 0x20008086, qemu: 0x20008087, keepalive: 0x6b656570 } as const;
export const PROGRAM_VERSION = 1;
/** Length word (4) and header (6 x 4). */
export const HEADER_BYTES = 28;
/** VIR_NET_MESSAGE_MAX: a longer message is a protocol error. */
export const MAX_MESSAGE_BYTES = 33_554_432;
/** VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX: every server takes stream packets of this size. */
export const STREAM_CHUNK_BYTES = 262_120;

export const MessageType = { call: 0, reply: 1, message: 2, stream: 3, streamHole: 6 } as const;
export const MessageStatus = { ok: 0, error: 1, continue: 2 } as const;
export const KeepaliveProc = { ping: 1, pong: 2 } as const;
export const QemuProc = { domainMonitorCommand: 1, domainAgentCommand: 3 } as const;

export const Proc = {
  connectOpen: 1,
  connectGetVersion: 4,
  connectGetCapabilities: 7,
  domainCreateXml: 10,
  domainGetXmlDesc: 14,
  domainLookupByName: 23,
  domainLookupByUuid: 24,
  domainResume: 28,
  domainSetAutostart: 29,
  networkLookupByName: 46,
  connectGetHostname: 59,
  connectSupportsFeature: 60,
  authList: 66,
  authSaslInit: 67,
  authSaslStart: 68,
  authSaslStep: 69,
  authPolkit: 70,
  storagePoolRefresh: 83,
  storagePoolLookupByName: 84,
  storagePoolGetInfo: 87,
  storagePoolGetXmlDesc: 88,
  storageVolCreateXml: 93,
  storageVolDelete: 94,
  storageVolLookupByName: 95,
  storageVolLookupByPath: 97,
  storageVolGetXmlDesc: 99,
  interfaceLookupByName: 128,
  connectDomainXmlToNative: 136,
  networkIsActive: 152,
  storagePoolIsActive: 154,
  connectGetLibVersion: 157,
  domainHasManagedSaveImage: 183,
  domainCreateWithFlags: 196,
  domainBlockPeek: 103,
  domainGetBlockInfo: 194,
  storageVolUpload: 208,
  storageVolDownload: 209,
  domainGetState: 212,
  nodeGetCpuStats: 227,
  nodeGetMemoryStats: 228,
  domainAttachDeviceFlags: 160,
  domainDetachDeviceFlags: 161,
  domainUpdateDeviceFlags: 174,
  domainSetVcpusFlags: 199,
  domainSetMemoryFlags: 204,
  domainUndefineFlags: 231,
  domainDestroyFlags: 234,
  domainBlockResize: 251,
  storageVolResize: 260,
  domainBlockJobAbort: 237,
  domainGetBlockJobInfo: 238,
  domainShutdownFlags: 258,
  domainSetMetadata: 264,
  domainGetMetadata: 265,
  connectListAllDomains: 273,
  domainGetHostname: 277,
  connectListAllStoragePools: 281,
  storagePoolListAllVolumes: 282,
  domainBlockCommit: 290,
  domainEventCallbackRegisterAny: 316,
  domainEventCallbackLifecycle: 318,
  domainEventBlockJob2: 339,
  connectGetDomainCapabilities: 342,
  domainBlockCopy: 345,
  domainDefineXmlFlags: 350,
  domainInterfaceAddresses: 353,
  domainManagedSaveGetXmlDesc: 388,
} as const;

export const AuthType = { none: 0, sasl: 1, polkit: 2 } as const;
export const EventId = { lifecycle: 0, blockJob2: 16 } as const;

/** virDomainState */
export const DomainState = {
  nostate: 0, running: 1, blocked: 2, paused: 3, shutdown: 4, shutoff: 5, crashed: 6, pmsuspended: 7,
} as const;
/** virDomainBlockJobType */
export const BlockJobType = { copy: 2, activeCommit: 4 } as const;
/** virDomainPausedReason */
export const PausedReason = { ioError: 5 } as const;

export const Flag = {
  listManagedSave: 256,
  listActivePools: 2,
  startPaused: 1,
  startAutodestroy: 2,
  destroyGraceful: 1,
  shutdownAcpi: 1,
  undefineEverything: 1 | 2 | 4 | 16, // managed save, snapshot metadata, NVRAM, checkpoint metadata
  xmlSecure: 1,
  xmlInactive: 2,
  affectLive: 1,
  affectConfig: 2,
  metadataElement: 2, // virDomainMetadataType, not a flag word
  blockCommitActive: 4,
  blockJobAbortPivot: 2,
  blockCopyShallow: 1,
  blockCopyReuseExternal: 2,
  blockCopyTransientJob: 4,
  volUploadSparse: 1,
  blockResizeBytes: 1,
  hostnameByLease: 1,
} as const;

/** virDomainInterfaceAddressesSource: of leases that its networks gave, of what its host heard by ARP. */
export const AddressSource = { lease: 0, arp: 2 } as const;

/** virErrorNumber, those that we tell apart. */
export const ErrorCode = {
  internalError: 1,
  noSupport: 3,
  invalidArg: 8,
  operationFailed: 9,
  domExist: 28,
  systemError: 38,
  noDomain: 42,
  noNetwork: 43,
  authFailed: 45,
  noStoragePool: 49,
  noStorageVol: 50,
  operationInvalid: 55,
  noInterface: 57,
  configUnsupported: 67,
  operationTimeout: 68,
  argumentUnsupported: 74,
  noDomainMetadata: 80,
  blockCopyActive: 83,
  operationUnsupported: 84,
  agentUnresponsive: 86,
  storageVolExist: 90,
  agentUnsynced: 97,
} as const;

/**
 * Of a call that makes, starts, ends, removes or rewrites something: a slow disk, a loaded host that starts QEMU, or the
 * first start after the daemon's own, which probes capabilities, must not pass for a dead host.
 */
export const LONG_CALL_MS = 120_000;
