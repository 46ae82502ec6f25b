// What a system message says.
import type { MessageStateFragment } from '../generated/graphql.js';
import { shownName } from '../ui/names.js';

type Notice = NonNullable<MessageStateFragment['system']>;

export const ROLES = { OWNER: 'owner', ADMIN: 'admin', MEMBER: 'member' } as const;

/** Sets a name apart, so that its direction does not reach the words around it (U+2068, U+2069). */
const apart = (name: string) => `\u2068${shownName(name)}\u2069`;

export function noticeOf({ kind, actor, subjects, title, role }: Notice, viewerId: string): string {
  const nameOf = (user: { id: string; name: string }) =>
    user.id === viewerId ? 'you' : apart(user.name);
  const who = actor ? nameOf(actor) : 'somebody';
  const others = subjects.filter(({ id }) => id !== actor?.id).map(nameOf);
  const whom = others.length > 0 ? others.join(', ') : 'nobody';
  const sentence = (() => {
    switch (kind) {
      case 'CHAT_CREATED':
        return `${who} made the group${title ? ` “${apart(title)}”` : ''}`;
      case 'MEMBER_ADDED':
        return `${who} added ${whom}`;
      case 'MEMBER_REMOVED':
        return `${who} removed ${whom}`;
      case 'MEMBER_LEFT':
        return `${who} left`;
      case 'TITLE_CHANGED':
        return `${who} renamed the group to “${apart(title ?? '')}”`;
      case 'ROLE_CHANGED':
        return `${who} made ${whom} ${role ? ROLES[role] : 'member'}`;
      case 'AVATAR_CHANGED':
        return `${who} changed the group’s picture`;
      default:
        return `${who} changed the group`;
    }
  })();
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
