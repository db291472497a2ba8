// A Slack bot in development: `npm run dev` gives it a URL, and stops what Slack did not sign before it comes here.
"use strict";

const { App } = require("@slack/bolt");

const app = new App({
  token: process.env.SLACK_BOT_TOKEN,
  signingSecret: process.env.SLACK_SIGNING_SECRET,
});

app.event("app_mention", async ({ event, say }) => {
  await say(`Hello <@${event.user}>`);
});

app.start(3000).then(() => {
  console.log(`The request URL for Slack: ${process.env.PUBLIC_URL}/slack/events`);
});
