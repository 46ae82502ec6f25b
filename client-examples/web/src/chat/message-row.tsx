// One message: what it says, who has read it, and what can be done with it.
import { memo, useState } from 'react';
import { Button, Dialog, DialogTrigger, Menu, MenuItem, MenuTrigger, Popover } from 'react-aria-components';

import { partsOf } from './links.js';
import { noticeOf } from './notice.js';
import type { Message, Pending } from '../replica/database.js';
import { Avatar, Icon, IconButton, Name, dayOf, timeOf } from '../ui/parts.js';
import { sentenceOfCode } from '../ui/sentences.js';

export const EMOJI = ['👍', '❤️', '😂', '🎉', '😮', '😢', '🙏', '👀'];

export interface Actions {
  readonly onReply: (message: Message) => void;
  readonly onEdit: (message: Message) => void;
  readonly onDelete: (message: Message) => void;
  readonly onReact: (message: Message, emoji: string, isOn: boolean) => void;
  readonly onJump: (seq: number) => void;
}

export const Text = ({ text }: { text: string }) => (
  <bdi className="text">
    {partsOf(text).map(({ text, href }, at) =>
      href ? (
        <a key={at} href={href} target="_blank" rel="noopener noreferrer nofollow">
          {text}
        </a>
      ) : (
        text
      ),
    )}
  </bdi>
);

interface MessageRowProps {
  readonly message: Message;
  readonly viewerId: string;
  readonly isGroup: boolean;
  readonly isFirstOfDay: boolean;
  readonly isFirstUnread: boolean;
  /** Whether it goes on what the same person said just before. */
  readonly isFollowing: boolean;
  readonly isRead: boolean;
  readonly readAt: string | null;
  readonly mayModerate: boolean;
  readonly actions: Actions;
}

export const MessageRow = memo(function MessageRow(props: MessageRowProps) {
  const { message, isFirstOfDay, isFirstUnread } = props;
  return (
    <>
      {isFirstOfDay && (
        <div className="day">
          <time dateTime={message.createdAt}>{dayOf(message.createdAt)}</time>
        </div>
      )}
      {isFirstUnread && (
        <div className="new-line">
          <span>New</span>
        </div>
      )}
      {message.system ? (
        <p className="notice">{noticeOf(message.system, props.viewerId)}</p>
      ) : (
        <Bubble {...props} />
      )}
    </>
  );
});

function Bubble({ message, viewerId, isGroup, isFollowing, isRead, readAt, mayModerate, actions }: MessageRowProps) {
  const { sender, text, deletedAt, editedAt, createdAt, replyTo, reactions, mentions } = message;
  const isOwn = sender?.id === viewerId;
  const isToViewer = mentions.some(({ id }) => id === viewerId);
  return (
    <article
      className={`message ${isOwn ? 'is-own' : ''} ${isFollowing ? 'is-following' : ''} ${isToViewer ? 'is-mention' : ''} ${isGroup ? 'is-group' : ''}`}
      data-seq={message.seq}
    >
      {isGroup && !isOwn && !isFollowing && <Avatar id={sender?.id ?? ''} name={sender?.name ?? '?'} />}
      <div className="bubble-line">
        <div className="bubble">
          {!isOwn && !isFollowing && isGroup && <Name of={sender} />}
          {isOwn && <span className="hidden">You:</span>}
          {replyTo && (
            <Button className="quote" onPress={() => actions.onJump(replyTo.seq)}>
              <Name of={replyTo.sender} />
              <bdi>{replyTo.deletedAt ? 'Message deleted' : (replyTo.text ?? '').slice(0, 160)}</bdi>
            </Button>
          )}
          {deletedAt ? <span className="text deleted">Message deleted</span> : <Text text={text ?? ''} />}
          <span className="meta">
            {editedAt && !deletedAt && <span>edited</span>}
            <time dateTime={createdAt}>{timeOf(createdAt)}</time>
            {isOwn && !deletedAt && (
              <span className={`tick ${isRead ? 'is-read' : ''}`} title={readAt ? `Read ${timeOf(readAt)}` : undefined}>
                <Icon name={isRead ? 'two' : 'one'} />
                <span className="hidden">{isRead ? 'read' : 'sent'}</span>
              </span>
            )}
          </span>
        </div>
        {!deletedAt && <Tools {...{ message, isOwn, mayModerate, actions }} />}
      </div>
      {reactions.length > 0 && (
        <div className="reactions">
          {reactions.map(({ id, emoji, count, viewerHasReacted }) => (
            <Button
              key={id}
              className={`reaction ${viewerHasReacted ? 'is-own' : ''}`}
              aria-label={`${emoji}, ${count}${viewerHasReacted ? ', with yours' : ''}`}
              onPress={() => actions.onReact(message, emoji, !viewerHasReacted)}
            >
              {emoji} <span>{count}</span>
            </Button>
          ))}
        </div>
      )}
    </article>
  );
}

interface ToolsProps extends Pick<MessageRowProps, 'message' | 'mayModerate' | 'actions'> {
  readonly isOwn: boolean;
}

function Tools({ message, isOwn, mayModerate, actions }: ToolsProps) {
  const [isPicking, setPicking] = useState(false);
  return (
    <div className="tools">
      <DialogTrigger isOpen={isPicking} onOpenChange={setPicking}>
        <IconButton icon="smile" label="React" />
        <Popover className="popover" placement="top">
          <Dialog className="emoji" aria-label="React">
            {EMOJI.map((emoji) => (
              <Button
                key={emoji}
                aria-label={emoji}
                onPress={() => {
                  setPicking(false);
                  const own = message.reactions.find((group) => group.emoji === emoji);
                  actions.onReact(message, emoji, !own?.viewerHasReacted);
                }}
              >
                {emoji}
              </Button>
            ))}
          </Dialog>
        </Popover>
      </DialogTrigger>
      <IconButton icon="reply" label="Reply" onPress={() => actions.onReply(message)} />
      {(isOwn || mayModerate) && (
        <MenuTrigger>
          <IconButton icon="more" label="More" />
          <Popover className="popover">
            <Menu
              className="menu"
              onAction={(key) => (key === 'edit' ? actions.onEdit(message) : actions.onDelete(message))}
            >
              {isOwn ? <MenuItem id="edit">Edit</MenuItem> : null}
              <MenuItem id="delete" className="danger react-aria-MenuItem">
                Delete
              </MenuItem>
            </Menu>
          </Popover>
        </MenuTrigger>
      )}
    </div>
  );
}

interface PendingRowProps {
  readonly pending: Pending;
  readonly onRetry: () => void;
  readonly onDiscard: () => void;
}

export function PendingRow({ pending, onRetry, onDiscard }: PendingRowProps) {
  const { text, problem } = pending;
  return (
    <article className="message is-own is-pending">
      <div className="bubble-line">
        <div className="bubble">
          <span className="hidden">You:</span>
          <Text text={text} />
          <span className="meta">
            <span className="tick">
              <Icon name={problem ? 'failed' : 'clock'} />
              <span className="hidden">{problem ? 'not sent' : 'waiting to be sent'}</span>
            </span>
          </span>
        </div>
      </div>
      {problem && (
        <p className="problem">
          {sentenceOfCode(problem)} <Button onPress={onRetry}>Try again</Button>
          <Button onPress={onDiscard}>Discard</Button>
        </p>
      )}
    </article>
  );
}
