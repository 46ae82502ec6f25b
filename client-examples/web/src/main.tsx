import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { App } from './app.js';
import { startRoute } from './ui/route.js';
import './ui/style.css';
import './chat/chat.css';
import './sidebar/sidebar.css';

const root = document.getElementById('root');
if (!root) throw new Error('The page has no root.');
startRoute(matchMedia('(width < 720px)').matches);
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
