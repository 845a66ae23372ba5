// Loaded with --import into a process under test. At SIGUSR2 it throws where nothing catches, as a library's socket
// does; with TEST_THROW=rejection it rejects a promise that nothing handles. SIGWINCH makes Node.js print a warning.
// File descriptor 3 gets a byte before the program itself is loaded.
import { writeSync } from 'node:fs';

process.on('SIGUSR2', () => {
  const error = new Error('out of band, at https://a.example/i.png?Signature=leaked');
  if (process.env.TEST_THROW === 'rejection') void Promise.reject(error);
  else
    setImmediate(() => {
      throw error;
    });
});
writeSync(3, '.');
process.on('SIGWINCH', () => process.emitWarning('a warning of a library', 'LibraryWarning'));
