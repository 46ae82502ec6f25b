// One message: what it says, who has read it, and what can be done with it.
import { memo, useState } from 'react';
import { Button, Dialog, DialogTrigger, Menu, MenuItem, MenuTrigger, Popover } from 'react-aria-components';

import { partsOf } from './links.js';
import { piecesOf } from './mentions.js';
import { noticeOf } from './notice.js';
import { previewOf } from './preview.js';
import { Attachments, PendingFiles } from '../files/attachments.js';
import { Face } from '../files/face.js';
import type { Attachment, Message, Pending, Task } from '../replica/database.js';
import type { Target } from '../replica/thread.js';
import { shownName } from '../ui/names.js';
import { Icon, IconButton, Name, dayOf, timeOf } from '../ui/parts.js';
import { sentenceOfCode } from '../ui/sentences.js';

export const EMOJI = ['👍', '❤️', '😂', '🎉', '😮', '😢', '🙏', '👀'];

export interface Actions {
  readonly onReply: (message: Message) => void;
  readonly onEdit: (message: Message) => void;
  readonly onDelete: (message: Message) => void;
  readonly onReact: (message: Message, emoji: string, isOn: boolean) => void;
  readonly onPin: (message: Message, isOn: boolean) => void;
  readonly onUnread: (message: Message) => void;
  readonly onReport: (message: Message) => void;
  readonly onJump: (target: Target) => void;
  readonly onImage: (image: Attachment) => void;
  /** Tries again, or drops, what was refused. */
  readonly onRetry: (clientMessageId: string) => void;
  readonly onDiscard: (clientMessageId: string) => void;
}

/** What the viewer may do in the chat with messages of others. */
export interface May {
  readonly moderate: boolean;
  readonly pin: boolean;
  readonly report: boolean;
}

interface TextProps {
  readonly text: string;
  readonly mentions?: Message['mentions'];
  readonly viewerId?: string;
}

export const Text = ({ text, mentions = [], viewerId = '' }: TextProps) => (
  <bdi className="text" dir="auto">
    {partsOf(text).map(({ text, href }, at) =>
      href ? (
        <a key={at} href={href} target="_blank" rel="noopener noreferrer nofollow" title={href === text ? undefined : href}>
          {text}
        </a>
      ) : (
        piecesOf(text, mentions).map(({ text, person }, place) =>
          person ? (
            <bdi key={`${at} ${place}`} className={`mentioned ${person.id === viewerId ? 'is-viewer' : ''}`}>
              @{shownName(person.name)}
            </bdi>
          ) : (
            text
          ),
        )
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
  readonly may: May;
  /** A change of it that waits, or was refused. */
  readonly task: Task | null;
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
        <p className="notice" data-seq={message.seq}>
          {noticeOf(message.system, props.viewerId)}
        </p>
      ) : (
        <Bubble {...props} />
      )}
    </>
  );
});

function Bubble(props: MessageRowProps) {
  const { message, viewerId, isGroup, isFollowing, isRead, readAt, may, task, actions } = props;
  const { sender, text, deletedAt, editedAt, createdAt, replyTo, reactions, mentions, attachments } = message;
  const isOwn = sender?.id === viewerId;
  const isToViewer = mentions.some(({ id }) => id === viewerId);
  const hasImages = !deletedAt && attachments.some(({ kind }) => kind === 'IMAGE');
  const isBare = hasImages && !text && !replyTo && attachments.every(({ kind }) => kind === 'IMAGE');
  const isWaiting = task?.problem === null;
  return (
    <article
      className={`message ${isOwn ? 'is-own' : ''} ${isFollowing ? 'is-following' : ''} ${isToViewer ? 'is-mention' : ''} ${isGroup ? 'is-group' : ''}`}
      data-seq={message.seq}
    >
      {isGroup && !isOwn && !isFollowing && <Face id={sender?.id ?? ''} name={sender?.name ?? '?'} />}
      <div className="bubble-line">
        <div className={`bubble ${hasImages ? 'has-images' : ''} ${isBare ? 'is-bare' : ''}`}>
          {!isOwn && !isFollowing && isGroup && <Name of={sender} />}
          {isOwn && <span className="hidden">You:</span>}
          {replyTo && <Quote of={replyTo} viewerId={viewerId} onJump={actions.onJump} />}
          {!deletedAt && attachments.length > 0 && (
            <Attachments attachments={attachments} onOpen={actions.onImage} />
          )}
          {deletedAt ? (
            <span className="text deleted">Message deleted</span>
          ) : text ? (
            <Text text={text} mentions={mentions} viewerId={viewerId} />
          ) : null}
          <span className="meta">
            {message.isPinned && (
              <span className="tick" title="Pinned">
                <Icon name="pin" />
                <span className="hidden">pinned</span>
              </span>
            )}
            {editedAt && !deletedAt && <span>edited</span>}
            <time dateTime={createdAt}>{timeOf(createdAt)}</time>
            {isWaiting && task.change.kind !== 'react' ? (
              <span className="tick" title="Waiting for the connection">
                <Icon name="clock" />
                <span className="hidden">a change is waiting to be sent</span>
              </span>
            ) : isOwn && !deletedAt ? (
              <span className={`tick ${isRead ? 'is-read' : ''}`} title={readAt ? `Read ${timeOf(readAt)}` : undefined}>
                <Icon name={isRead ? 'two' : 'one'} />
                <span className="hidden">{isRead ? 'read' : 'sent'}</span>
              </span>
            ) : null}
          </span>
        </div>
        {!deletedAt && <Tools {...{ message, isOwn, may, actions }} />}
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
      {task?.problem && <Refusal waiting={task} what={WHAT[task.change.kind]} actions={actions} />}
    </article>
  );
}

interface QuoteProps {
  readonly of: Message | NonNullable<Message['replyTo']>;
  readonly viewerId: string;
  readonly onJump: Actions['onJump'];
}

const Quote = ({ of, viewerId, onJump }: QuoteProps) => (
  <Button className="quote" onPress={() => onJump(of)}>
    <Name of={of.sender} />
    <bdi>{previewOf(of, viewerId).slice(0, 160)}</bdi>
  </Button>
);

const WHAT = {
  edit: 'The edit was not taken. ',
  delete: 'The message was not deleted. ',
  react: 'The reaction was not taken. ',
  pin: 'The pin was not changed. ',
} as const;

interface RefusalProps {
  readonly waiting: Pending | Task;
  readonly what?: string;
  readonly actions: Pick<Actions, 'onRetry' | 'onDiscard'>;
}

function Refusal({ waiting: { clientMessageId, problem, sentence }, what = '', actions }: RefusalProps) {
  return (
    <p className="problem">
      {what}
      {sentence ?? sentenceOfCode(problem)} <Button onPress={() => actions.onRetry(clientMessageId)}>Try again</Button>
      <Button onPress={() => actions.onDiscard(clientMessageId)}>Discard</Button>
    </p>
  );
}

interface ToolsProps extends Pick<MessageRowProps, 'message' | 'may' | 'actions'> {
  readonly isOwn: boolean;
}

function Tools({ message, isOwn, may, actions }: ToolsProps) {
  const [isPicking, setPicking] = useState(false);
  const act = (key: unknown) => {
    if (key === 'edit') actions.onEdit(message);
    else if (key === 'delete') actions.onDelete(message);
    else if (key === 'pin') actions.onPin(message, !message.isPinned);
    else if (key === 'unread') actions.onUnread(message);
    else if (key === 'report') actions.onReport(message);
    else if (key === 'copy') void navigator.clipboard?.writeText(message.text ?? '').catch(() => {});
  };
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
      <MenuTrigger>
        <IconButton icon="more" label="More" />
        <Popover className="popover">
          <Menu className="menu" aria-label="Message" onAction={act}>
            {message.text ? <MenuItem id="copy">Copy text</MenuItem> : null}
            {isOwn ? <MenuItem id="edit">Edit</MenuItem> : null}
            {may.pin ? <MenuItem id="pin">{message.isPinned ? 'Unpin' : 'Pin'}</MenuItem> : null}
            {isOwn ? null : <MenuItem id="unread">Mark unread from here</MenuItem>}
            {may.report && !isOwn ? (
              <MenuItem id="report" className="danger react-aria-MenuItem">
                Report
              </MenuItem>
            ) : null}
            {isOwn || may.moderate ? (
              <MenuItem id="delete" className="danger react-aria-MenuItem">
                Delete
              </MenuItem>
            ) : null}
          </Menu>
        </Popover>
      </MenuTrigger>
    </div>
  );
}

interface PendingRowProps {
  readonly pending: Pending;
  /** What it replies to, where that is loaded. */
  readonly replyTo: Message | undefined;
  readonly viewerId: string;
  readonly isGroup: boolean;
  readonly actions: Pick<Actions, 'onJump' | 'onRetry' | 'onDiscard'>;
}

export function PendingRow({ pending, replyTo, viewerId, isGroup, actions }: PendingRowProps) {
  const { text, problem, files = [], clientMessageId } = pending;
  const isGoingUp = problem === null && files.some(({ upload }) => !upload?.doneAt);
  return (
    <article className={`message is-own is-pending ${isGroup ? 'is-group' : ''}`}>
      <div className="bubble-line">
        <div className={`bubble ${files.length > 0 ? 'has-images' : ''}`}>
          <span className="hidden">You:</span>
          {replyTo && <Quote of={replyTo} viewerId={viewerId} onJump={actions.onJump} />}
          <PendingFiles files={files} />
          {text !== '' && <Text text={text} />}
          <span className="meta">
            <span className="tick">
              <Icon name={problem ? 'failed' : 'clock'} />
              <span className="hidden">{problem ? 'not sent' : 'waiting to be sent'}</span>
            </span>
          </span>
        </div>
        {isGoingUp && (
          <IconButton icon="close" label="Cancel the upload" onPress={() => actions.onDiscard(clientMessageId)} />
        )}
      </div>
      {problem === 'FORBIDDEN' ? (
        <Refusal waiting={{ ...pending, sentence: 'Nothing can be sent here any more.' }} actions={actions} />
      ) : (
        problem && <Refusal waiting={pending} actions={actions} />
      )}
    </article>
  );
}
