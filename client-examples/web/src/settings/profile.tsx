// How others see the viewer, and signing out.
import { useState, type FormEvent } from 'react';
import { Button, Input, Label, TextArea, TextField } from 'react-aria-components';

import { PictureField } from '../files/picture-field.js';
import { SetPictureDocument, UpdateProfileDocument } from '../generated/graphql.js';
import { Problem, Question, useAccount, useAccountState, useRun } from '../ui/parts.js';

interface ProfileProps {
  readonly isNew: boolean;
  readonly onClose: () => void;
}

export function Profile({ isNew, onClose }: ProfileProps) {
  const account = useAccount();
  const { viewer, outbox, tasks } = useAccountState();
  const [name, setName] = useState(viewer?.name ?? '');
  const [about, setAbout] = useState(viewer?.about ?? '');
  const { run, problem, isBusy } = useRun();
  const [isAsking, setAsking] = useState(false);
  const waiting = waitingOf(outbox.length, tasks.length);
  const signOut = () => void run(() => account.signOut());

  const save = async (event: FormEvent) => {
    event.preventDefault();
    const isSaved = await run(async () => {
      const { updateProfile } = await account.connection.mutate(UpdateProfileDocument, { name, about });
      if (updateProfile) await account.replica.keepViewer(updateProfile.user);
    });
    if (isSaved) onClose();
  };

  return (
    <>
      <form onSubmit={(event) => void save(event)}>
        {isNew && <p className="quiet">This is the name that others see. You can change it at any time.</p>}
        {viewer && (
          <PictureField
            id={viewer.id}
            name={name}
            picture={viewer.avatar}
            onPick={async (avatarId) => {
              const { updateProfile } = await account.connection.mutate(SetPictureDocument, { avatarId });
              if (updateProfile) await account.replica.keepViewer(updateProfile.user);
            }}
          />
        )}
        <TextField value={name} onChange={setName} autoFocus isRequired maxLength={64} autoComplete="name">
          <Label>Name</Label>
          <Input />
        </TextField>
        <TextField value={about} onChange={setAbout} maxLength={500}>
          <Label>About you</Label>
          <TextArea rows={3} />
        </TextField>
        {viewer?.email && (
          <p className="quiet">
            Signed in as <bdi>{viewer.email}</bdi>
          </p>
        )}
        <Problem text={problem} />
        <div className="actions">
          <Button type="submit" className="primary" isDisabled={isBusy || name.trim() === ''}>
            Save
          </Button>
          {!isNew && (
            <Button className="secondary danger" isDisabled={isBusy} onPress={waiting ? () => setAsking(true) : signOut}>
              Sign out
            </Button>
          )}
        </div>
      </form>
      <Question
        title="Sign out?"
        yes="Sign out"
        no="Stay signed in"
        isOpen={isAsking}
        onYes={signOut}
        onClose={() => setAsking(false)}
      >
        <p>{waiting ?? 'All that was waiting is sent by now.'}</p>
      </Question>
    </>
  );
}

/** What signing out drops; null where that is nothing. */
function waitingOf(messages: number, changes: number): string | null {
  const parts = [
    ...(messages > 0 ? [messages === 1 ? '1 message' : `${messages} messages`] : []),
    ...(changes > 0 ? [changes === 1 ? '1 change of a message' : `${changes} changes of messages`] : []),
  ];
  if (parts.length === 0) return null;
  const are = messages + changes === 1 ? 'is' : 'are';
  return `${parts.join(' and ')} ${are} not sent yet. What is not sent by the time you sign out is lost.`;
}
