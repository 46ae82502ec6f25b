// The viewer's own profile, and signing out.
import { useState, type FormEvent } from 'react';
import { Button, Input, Label, TextArea, TextField } from 'react-aria-components';

import { UpdateProfileDocument } from '../generated/graphql.js';
import { Problem, Sheet, useAccount, useAccountState } from '../ui/parts.js';
import { sentenceOf } from '../ui/sentences.js';

interface ProfileProps {
  readonly isOpen: boolean;
  readonly isNew: boolean;
  readonly onClose: () => void;
}

export function Profile({ isOpen, isNew, onClose }: ProfileProps) {
  return (
    <Sheet title={isNew ? 'Welcome to Talksy' : 'Your profile'} isOpen={isOpen} onClose={onClose}>
      <ProfileForm isNew={isNew} onClose={onClose} />
    </Sheet>
  );
}

function ProfileForm({ isNew, onClose }: Omit<ProfileProps, 'isOpen'>) {
  const account = useAccount();
  const { viewer } = useAccountState();
  const [name, setName] = useState(viewer?.name ?? '');
  const [about, setAbout] = useState(viewer?.about ?? '');
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);

  async function run(action: () => Promise<unknown>) {
    setBusy(true);
    setProblem(null);
    try {
      await action();
      onClose();
    } catch (error) {
      setProblem(sentenceOf(error));
    } finally {
      setBusy(false);
    }
  }

  const save = (event: FormEvent) => {
    event.preventDefault();
    void run(() => account.connection.mutate(UpdateProfileDocument, { name, about }));
  };

  return (
    <form onSubmit={save}>
      {isNew && <p className="quiet">This is the name that others see. You can change it at any time.</p>}
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
          <Button className="secondary danger" isDisabled={isBusy} onPress={() => void run(() => account.signOut())}>
            Sign out
          </Button>
        )}
      </div>
    </form>
  );
}
