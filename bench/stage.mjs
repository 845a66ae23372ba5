// Stages one image into a local store, as client and command do.
import { stageImage } from '../dist/src/media/stage-image.js';
import { FileStore } from '../dist/src/storage/file-store.js';

const store = new FileStore(process.argv[2]);
process.send('ready');
process.once('message', async (file) => {
  await stageImage(file, store);
  process.send('done');
});
