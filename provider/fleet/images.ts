import type { FleetSpec, Image, ObservedTemplate } from "./model";

/** What one copy moves when neither the template could be asked nor `imageBytes` was given. */
export const DEFAULT_IMAGE_BYTES = 10e9;

/** What one copy of all its disks moves, and writes. */
export const imageBytes = ({ disks }: Pick<Image, "disks">): number => disks.reduce((sum, disk) => sum + disk.bytes, 0);

/** What the template is taken for where it could not be asked: as large as was said, or as most are. */
export const supposedImage = ({ imageBytes: bytes = DEFAULT_IMAGE_BYTES }: Pick<FleetSpec, "imageBytes">, contentId: string): Image => ({
  contentId, disks: [{ bytes }],
});

/** Of a template as it was seen, what copies of it have to know. */
export const imageOf = ({ contentId, disks }: ObservedTemplate): Image => ({ contentId, disks: disks.map(({ bytes }) => ({ bytes })) });
