// A group's title and members, and what the viewer may do with them.
import { useState, type FormEvent } from 'react';
import { Button, Input, Label, Menu, MenuItem, MenuTrigger, Popover, TextField } from 'react-aria-components';

import { PeoplePicker, type Person } from './people-picker.js';
import {
  AddMembersDocument,
  LeaveChatDocument,
  RemoveMemberDocument,
  RenameGroupDocument,
  SetGroupPictureDocument,
  SetMemberRoleDocument,
  type MemberRole,
} from '../generated/graphql.js';
import { ROLES } from '../chat/notice.js';
import type { Chat, Member } from '../replica/database.js';
import { Face } from '../files/face.js';
import { PictureField } from '../files/picture-field.js';
import { shownName } from '../ui/names.js';
import { IconButton, Name, Problem, Sheet, useAccount } from '../ui/parts.js';
import { leaveChat } from '../ui/route.js';
import { sentenceOf } from '../ui/sentences.js';

interface GroupDetailsProps {
  readonly chat: Chat;
  readonly members: readonly Member[];
  readonly isOpen: boolean;
  readonly onClose: () => void;
}

export const GroupDetails = (props: GroupDetailsProps) => (
  <Sheet title="Group details" isOpen={props.isOpen} onClose={props.onClose}>
    <Details {...props} />
  </Sheet>
);

function Details({ chat, members, onClose }: GroupDetailsProps) {
  const { connection, replica, userId } = useAccount();
  const [title, setTitle] = useState(chat.title);
  const [adding, setAdding] = useState<readonly Person[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isLeaving, setLeaving] = useState(false);
  const role = chat.viewerMember?.role ?? 'MEMBER';
  const manages = role !== 'MEMBER';

  async function run(action: () => Promise<unknown>) {
    setProblem(null);
    try {
      await action();
    } catch (error) {
      setProblem(sentenceOf(error));
    }
  }

  const rename = (event: FormEvent) => {
    event.preventDefault();
    void run(() => connection.mutate(RenameGroupDocument, { chatId: chat.id, title: title.trim() }));
  };

  const add = () =>
    run(async () => {
      const userIds = (adding ?? []).map(({ id }) => id);
      if (userIds.length > 0) await connection.mutate(AddMembersDocument, { chatId: chat.id, userIds });
      setAdding(null);
    });

  const leave = () =>
    run(async () => {
      await connection.mutate(LeaveChatDocument, { chatId: chat.id });
      onClose();
      await leaveChat();
      await replica.removeChat(chat.id);
    });

  return (
    <div className="details">
      {manages && (
        <PictureField
          id={chat.id}
          name={chat.title}
          picture={chat.avatar}
          onPick={async (avatarId) => {
            const { updateGroup } = await connection.mutate(SetGroupPictureDocument, { chatId: chat.id, avatarId });
            if (updateGroup) await replica.keepChat(updateGroup.chat);
          }}
        />
      )}
      {manages && (
        <form className="inline" onSubmit={rename}>
          <TextField value={title} onChange={setTitle} isRequired maxLength={100}>
            <Label>Title</Label>
            <Input />
          </TextField>
          <Button type="submit" className="secondary" isDisabled={title.trim() === '' || title.trim() === chat.title}>
            Rename
          </Button>
        </form>
      )}
      <Problem text={problem} />
      {adding === null ? (
        <>
          <h3>
            {chat.memberCount} {chat.memberCount === 1 ? 'member' : 'members'}
          </h3>
          <ul className="members">
            {members.map((member) => (
              <li key={member.id} className="row">
                <Face id={member.user.id} name={member.user.name} />
                <span className="about">
                  <Name of={member.user} />
                  <span className="quiet">
                    {member.user.id === userId ? 'you · ' : ''}
                    {ROLES[member.role]}
                  </span>
                </span>
                {member.user.id !== userId && (
                  <MemberMenu
                    member={member}
                    viewerRole={role}
                    onRole={(role) =>
                      void run(() =>
                        connection.mutate(SetMemberRoleDocument, { chatId: chat.id, userId: member.user.id, role }),
                      )
                    }
                    onRemove={() =>
                      void run(() =>
                        connection.mutate(RemoveMemberDocument, { chatId: chat.id, userId: member.user.id }),
                      )
                    }
                  />
                )}
              </li>
            ))}
          </ul>
          <div className="actions">
            {manages && (
              <Button className="secondary" onPress={() => setAdding([])}>
                Add people
              </Button>
            )}
            <Button className="secondary danger" onPress={() => (isLeaving ? void leave() : setLeaving(true))}>
              {isLeaving ? 'Really leave?' : 'Leave the group'}
            </Button>
          </div>
        </>
      ) : (
        <>
          <PeoplePicker chosen={adding} onChange={setAdding} without={members.map(({ user }) => user.id)} />
          <div className="actions">
            <Button className="primary" isDisabled={adding.length === 0} onPress={() => void add()}>
              Add
            </Button>
            <Button className="secondary" onPress={() => setAdding(null)}>
              Back
            </Button>
          </div>
        </>
      )}
    </div>
  );
}

interface MemberMenuProps {
  readonly member: Member;
  readonly viewerRole: MemberRole;
  readonly onRole: (role: MemberRole) => void;
  readonly onRemove: () => void;
}

function MemberMenu({ member, viewerRole, onRole, onRemove }: MemberMenuProps) {
  const mayRemove = viewerRole === 'OWNER' || (viewerRole === 'ADMIN' && member.role === 'MEMBER');
  if (!mayRemove) return null;
  const roles: MemberRole[] = viewerRole === 'OWNER' ? ['OWNER', 'ADMIN', 'MEMBER'] : [];
  return (
    <MenuTrigger>
      <IconButton icon="more" label={`What to do with ${shownName(member.user.name)}`} />
      <Popover className="popover">
        <Menu
          className="menu"
          onAction={(key) => (key === 'remove' ? onRemove() : onRole(key as MemberRole))}
        >
          {roles
            .filter((role) => role !== member.role)
            .map((role) => (
              <MenuItem key={role} id={role}>
                Make {ROLES[role]}
              </MenuItem>
            ))}
          <MenuItem id="remove" className="danger react-aria-MenuItem">
            Remove from the group
          </MenuItem>
        </Menu>
      </Popover>
    </MenuTrigger>
  );
}
