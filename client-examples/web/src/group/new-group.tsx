// Makes a group.
import { useRef, useState, type FormEvent } from 'react';
import { Button, Input, Label, TextField } from 'react-aria-components';

import { PeoplePicker, type Person } from './people-picker.js';
import { CreateGroupDocument } from '../generated/graphql.js';
import { Problem, Sheet, useAccount } from '../ui/parts.js';
import { openChat } from '../ui/route.js';
import { sentenceOf } from '../ui/sentences.js';

interface NewGroupProps {
  readonly isOpen: boolean;
  readonly onClose: () => void;
}

export const NewGroup = ({ isOpen, onClose }: NewGroupProps) => (
  <Sheet title="New group" isOpen={isOpen} onClose={onClose}>
    <NewGroupForm onClose={onClose} />
  </Sheet>
);

function NewGroupForm({ onClose }: Pick<NewGroupProps, 'onClose'>) {
  const { connection, replica } = useAccount();
  const [title, setTitle] = useState('');
  const [people, setPeople] = useState<readonly Person[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  // One id for all tries: a second one does not make a second group.
  const clientChatId = useRef(crypto.randomUUID());

  async function make(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const { createGroup } = await connection.mutate(CreateGroupDocument, {
        title: title.trim(),
        memberIds: people.map(({ id }) => id),
        clientChatId: clientChatId.current,
      });
      if (!createGroup) return;
      await replica.keepChat(createGroup.chat);
      openChat(createGroup.chat.id);
      onClose();
    } catch (error) {
      setProblem(sentenceOf(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <form onSubmit={(event) => void make(event)}>
      <TextField value={title} onChange={setTitle} autoFocus isRequired maxLength={100}>
        <Label>Title</Label>
        <Input />
      </TextField>
      <PeoplePicker chosen={people} onChange={setPeople} without={[]} />
      <Problem text={problem} />
      <div className="actions">
        <Button type="submit" className="primary" isDisabled={isBusy || title.trim() === ''}>
          Make the group
        </Button>
      </div>
    </form>
  );
}
