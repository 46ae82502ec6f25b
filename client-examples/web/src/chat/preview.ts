// A message in a line: for the sidebar, quotes, pins and what is heard.
import { noticeOf } from './notice.js';
import type { MessageStateFragment } from '../generated/graphql.js';
import type { Pending, PendingFile } from '../replica/database.js';
import { shownFile } from '../ui/names.js';

interface Shown {
  readonly text: string | null;
  readonly deletedAt: string | null;
  readonly attachments?: readonly { readonly kind: string; readonly fileName: string }[];
  readonly system?: MessageStateFragment['system'];
}

export function previewOf({ text, deletedAt, attachments = [], system }: Shown, viewerId: string): string {
  if (deletedAt) return 'Message deleted';
  if (system) return noticeOf(system, viewerId);
  return lineOf(text, attachments);
}

/** The same of one that is not sent yet. */
export function previewOfPending({ text, files = [] }: Pending): string {
  const kindOf = ({ width }: PendingFile) => (width === null ? 'FILE' : 'IMAGE');
  return lineOf(text, files.map((file) => ({ kind: kindOf(file), fileName: file.name })));
}

function lineOf(text: string | null, attachments: NonNullable<Shown['attachments']>): string {
  const [first] = attachments;
  if (!first) return text ?? '';
  const images = attachments.filter(({ kind }) => kind === 'IMAGE').length;
  const what =
    images === attachments.length
      ? images === 1
        ? '📷 Photo'
        : `📷 ${images} photos`
      : `📎 \u2068${shownFile(first.fileName)}\u2069${attachments.length > 1 ? ` and ${attachments.length - 1} more` : ''}`;
  return text ? `${what} · ${text}` : what;
}
