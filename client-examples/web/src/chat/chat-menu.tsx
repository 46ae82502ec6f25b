// What can be done with a chat.
import { Menu, MenuItem, MenuTrigger, Popover } from 'react-aria-components';

import { MuteChatDocument } from '../generated/graphql.js';
import type { Chat } from '../replica/database.js';
import { IconButton, useAccount } from '../ui/parts.js';
import { sentenceOf } from '../ui/sentences.js';

interface ChatMenuProps {
  readonly chat: Chat;
  readonly onDetails: () => void;
  readonly onProblem: (problem: string) => void;
}

export function ChatMenu({ chat, onDetails, onProblem }: ChatMenuProps) {
  const { connection, replica } = useAccount();
  async function mute() {
    try {
      const variables = { chatId: chat.id, muted: !chat.isMutedByViewer };
      const { muteChat } = await connection.mutate(MuteChatDocument, variables);
      if (muteChat) await replica.keepChat(muteChat.chat);
    } catch (error) {
      onProblem(sentenceOf(error));
    }
  }
  return (
    <MenuTrigger>
      <IconButton icon="more" label="Chat menu" />
      <Popover className="popover">
        <Menu className="menu" onAction={(key) => (key === 'mute' ? void mute() : onDetails())}>
          {chat.kind === 'GROUP' ? <MenuItem id="details">Group details</MenuItem> : null}
          <MenuItem id="mute">{chat.isMutedByViewer ? 'Unmute' : 'Mute'}</MenuItem>
        </Menu>
      </Popover>
    </MenuTrigger>
  );
}
