// The viewer's own pages: the profile, where they are signed in, whom they have blocked, and their data.
import { Tab, TabList, TabPanel, Tabs } from 'react-aria-components';

import { Blocked } from './blocked.js';
import { OwnData } from './own-data.js';
import { Profile } from './profile.js';
import { Sessions } from './sessions.js';
import { useFeature } from '../session/features.js';

interface SettingsProps {
  readonly isNew: boolean;
  readonly onClose: () => void;
}

export default function Settings({ isNew, onClose }: SettingsProps) {
  const blocks = useFeature('blocking');
  const exports = useFeature('export');
  const deletes = useFeature('accountDeletion');
  if (isNew) return <Profile isNew onClose={onClose} />;
  return (
    <Tabs className="tabs">
      <TabList className="tab-list" aria-label="Your account">
        <Tab id="profile">Profile</Tab>
        <Tab id="sessions">Devices</Tab>
        {blocks ? <Tab id="blocked">Blocked</Tab> : null}
        {exports || deletes ? <Tab id="data">Your data</Tab> : null}
      </TabList>
      <TabPanel id="profile" className="tab-panel">
        <Profile isNew={false} onClose={onClose} />
      </TabPanel>
      <TabPanel id="sessions" className="tab-panel">
        <Sessions />
      </TabPanel>
      <TabPanel id="blocked" className="tab-panel">
        <Blocked />
      </TabPanel>
      <TabPanel id="data" className="tab-panel">
        <OwnData mayExport={exports} mayDelete={deletes} />
      </TabPanel>
    </Tabs>
  );
}
