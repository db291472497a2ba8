// A Slack bot as its makers teach it, with @slack/bolt, which verifies each request once more by itself.
// It prints the port, and then a JSON line for whatever it was asked.
const { App } = require('@slack/bolt');

const tell = (what, told = {}) => process.stdout.write(`${JSON.stringify({ event: what, ...told })}\n`);

const app = new App({
  signingSecret: process.env.SLACK_SIGNING_SECRET,
  // No token, no call to Slack: whoever asks is taken for one team.
  authorize: async () => ({ botToken: 'none', botId: 'B0', botUserId: 'U0000000001' }),
});

app.event('app_mention', async ({ event, body }) => tell('app_mention', { text: event.text, id: body.event_id }));
app.command('/deploy', async ({ ack, command }) => {
  await ack({ response_type: 'ephemeral', text: `deploying ${command.text}` });
  tell('command');
});
app.action('irp', async ({ ack, action }) => {
  await ack();
  tell('action', { value: action.value });
});
app.shortcut('irp', async ({ ack, shortcut }) => {
  await ack();
  tell('shortcut', { type: shortcut.type });
});
app.options('irp', async ({ ack }) => {
  await ack({ options: [] });
  tell('options');
});
app.view('irp', async ({ ack }) => {
  await ack({ response_action: 'errors', errors: { irp: 'not today' } });
  tell('view');
});

app.start({ port: 0, host: '127.0.0.1' }).then((server) => tell('ready', { port: server.address().port }));
