// Azurite looks for unused texts of messages once a minute, and answers nothing meanwhile: for seconds, after a thousand
// messages. Azure Storage does not. A world of ours lives for minutes, so that the texts may stay.
const constants = require("azurite/dist/src/queue/utils/constants");
if (!constants.DEFAULT_GC_INTERVAL_MS) throw new Error("This Azurite names its interval otherwise.");
constants.DEFAULT_GC_INTERVAL_MS = 24 * 60 * 60 * 1000;
