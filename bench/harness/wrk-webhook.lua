-- One signed webhook again and again: what is posted, and its signature, are in the environment.
function wrk.resolve(_, service)
  wrk.addrs = wrk.lookup("127.0.0.1", service)
end

wrk.method = "POST"
wrk.body = os.getenv("WEBHOOK_BODY")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Hub-Signature-256"] = os.getenv("WEBHOOK_SIGNATURE")
