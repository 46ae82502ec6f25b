// The viewer's own pages: the profile, where they are signed in, whom they have blocked, and their data.
import { Blocked } from './blocked.js';
import { OwnData } from './own-data.js';
import { Profile } from './profile.js';
import { Sessions } from './sessions.js';
import { useFeature } from '../session/features.js';
import { TabbedPages } from '../ui/tabs.js';

interface SettingsProps {
  readonly isNew: boolean;
  readonly onClose: () => void;
}

export default function Settings({ isNew, onClose }: SettingsProps) {
  const blocks = useFeature('blocking');
  const exports = useFeature('export');
  const deletes = useFeature('accountDeletion');
  if (isNew) return <Profile isNew onClose={onClose} />;
  const pages = [
    { id: 'profile', title: 'Profile', content: <Profile isNew={false} onClose={onClose} /> },
    { id: 'sessions', title: 'Devices', content: <Sessions /> },
    ...(blocks ? [{ id: 'blocked', title: 'Blocked', content: <Blocked /> }] : []),
    ...(exports || deletes
      ? [{ id: 'data', title: 'Your data', content: <OwnData mayExport={exports} mayDelete={deletes} /> }]
      : []),
  ];
  return <TabbedPages label="Your account" pages={pages} />;
}
