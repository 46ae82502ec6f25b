// What can be done with a chat.
import { Menu, MenuItem, MenuTrigger, Popover } from 'react-aria-components';

import { MuteChatDocument } from '../generated/graphql.js';
import type { Chat } from '../replica/database.js';
import { useFeature } from '../session/features.js';
import { IconButton, useAccount } from '../ui/parts.js';
import { sentenceOf } from '../ui/sentences.js';

interface ChatMenuProps {
  readonly chat: Chat;
  readonly isBlocked: boolean;
  readonly onBlock: () => void;
  readonly onDetails: () => void;
  readonly onSearch: () => void;
  /** Marks it as unread from the newest message on. */
  readonly onUnread: () => void;
  readonly onProblem: (problem: string) => void;
}

export function ChatMenu({ chat, isBlocked, onBlock, onDetails, onSearch, onUnread, onProblem }: ChatMenuProps) {
  const { connection, replica } = useAccount();
  const maySearch = useFeature('search');
  const mayBlock = useFeature('blocking') && chat.peer !== null;
  const mayUnread = useFeature('markUnread') && chat.lastSeq > 0;
  async function run(action: () => Promise<unknown>) {
    try {
      await action();
    } catch (error) {
      onProblem(sentenceOf(error));
    }
  }
  const mute = async () => {
    const variables = { chatId: chat.id, muted: !chat.isMutedByViewer };
    const { muteChat } = await connection.mutate(MuteChatDocument, variables);
    if (muteChat) await replica.keepChat(muteChat.chat);
  };
  const act = (key: unknown) => {
    if (key === 'mute') void run(mute);
    else if (key === 'unread') onUnread();
    else if (key === 'search') onSearch();
    else if (key === 'block') onBlock();
    else onDetails();
  };
  return (
    <MenuTrigger>
      <IconButton icon="more" label="Chat menu" />
      <Popover className="popover">
        <Menu className="menu" aria-label="Chat" onAction={act}>
          {chat.kind === 'GROUP' ? <MenuItem id="details">Group details</MenuItem> : null}
          {maySearch ? <MenuItem id="search">Search in this chat</MenuItem> : null}
          <MenuItem id="mute">{chat.isMutedByViewer ? 'Unmute' : 'Mute'}</MenuItem>
          {mayUnread ? <MenuItem id="unread">Mark as unread</MenuItem> : null}
          {mayBlock ? (
            <MenuItem id="block" className="danger react-aria-MenuItem">
              {isBlocked ? 'Unblock' : 'Block'}
            </MenuItem>
          ) : null}
        </Menu>
      </Popover>
    </MenuTrigger>
  );
}
