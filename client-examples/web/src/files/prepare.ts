// What is done with a file before it is kept for sending: it gets a name and a size that can be shown, and
// a photo that is larger than servers take is made smaller.
import type { Chosen } from '../outbox/drafts.js';

/** What a server takes of an image where it says nothing else, in bytes. */
const MOST_IMAGE = 5 * 1024 * 1024;
/** Pixels of the longer side of an image that is made smaller. */
const SIDE = 3_200;
/** More is not even kept on the device. */
const MOST = 100 * 1024 * 1024;

const IMAGES = ['image/jpeg', 'image/png', 'image/gif', 'image/webp'];
const TYPES: Readonly<Record<string, string>> = {
  pdf: 'application/pdf',
  zip: 'application/zip',
  txt: 'text/plain',
  md: 'text/plain',
  csv: 'text/plain',
  log: 'text/plain',
};

export const isImage = (type: string): boolean => IMAGES.includes(type);

/** Makes a file ready to be kept; throws a sentence for the user. */
export async function prepare(file: File): Promise<Chosen> {
  if (file.size === 0) throw new Error(`${file.name} is empty.`);
  if (file.size > MOST) throw new Error(`${file.name} is too large.`);
  const ending = /\.([^.]+)$/.exec(file.name)?.[1]?.toLowerCase() ?? '';
  const type = file.type.split(';')[0] || TYPES[ending] || 'application/octet-stream';
  const chosen = {
    id: crypto.randomUUID(),
    // What is pasted is called image.png by all browsers.
    name: file.name || `file.${ending || 'bin'}`,
    type: type.startsWith('text/') ? 'text/plain' : type,
    blob: file as Blob,
    byteSize: file.size,
    width: null,
    height: null,
  };
  if (!isImage(type)) return chosen;
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name} is no image that can be shown.`);
  });
  try {
    const { width, height } = bitmap;
    if (file.size <= MOST_IMAGE || type === 'image/gif') return { ...chosen, width, height };
    return { ...chosen, ...(await smaller(bitmap)), name: chosen.name.replace(/\.[^.]+$/, '.jpg') };
  } finally {
    bitmap.close();
  }
}

async function smaller(bitmap: ImageBitmap) {
  for (let side = SIDE; ; side = Math.floor(side * 0.75)) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement('canvas');
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext('2d');
    if (!context) throw new Error('This browser cannot make the image smaller.');
    context.fillStyle = '#fff';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.88));
    if (!blob) throw new Error('This browser cannot make the image smaller.');
    if (blob.size > MOST_IMAGE && side > 400) continue;
    const { width, height } = canvas;
    return { blob, byteSize: blob.size, type: blob.type, width, height };
  }
}

/** The pixels at which an image is shown in a box, never larger than it is, and large enough to be hit. */
export function sizeIn(
  width: number | null,
  height: number | null,
  most: { readonly width: number; readonly height: number },
): { readonly width: number; readonly height: number } {
  if (!width || !height) return most;
  const scale = Math.min(1, most.width / width, most.height / height);
  return {
    width: Math.max(64, Math.round(width * scale)),
    height: Math.max(48, Math.round(height * scale)),
  };
}

const UNITS = ['bytes', 'KB', 'MB', 'GB'];
export function bytesOf(size: number): string {
  let value = size;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
