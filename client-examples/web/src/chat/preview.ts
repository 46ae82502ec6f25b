// A message in a line: for the sidebar, quotes, pins and what is heard.
import { noticeOf } from './notice.js';
import type { MessageStateFragment } from '../generated/graphql.js';
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
