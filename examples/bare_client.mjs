// A client for Node.js, in bare zeromq: npm install zeromq@6; node bare_client.mjs [ADDRESS], of a proxy's or node's requests.

import { Dealer } from "zeromq";

const socket = new Dealer({ linger: 0, receiveTimeout: 15_000 }); // milliseconds: at the end, and for a reply
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:7001");

async function ask(message, fields = {}) {
  await socket.send(["1", JSON.stringify({ message, ...fields })]);
  for (;;) {
    const [ref, payload] = await socket.receive();
    const text = payload.toString();
    if (ref.toString() !== "1") {
      console.log("told:", text); // the reply has our reference, a notification has none
      continue;
    }
    console.log(message, "->", text);
    return JSON.parse(text);
  }
}

await ask("RequestRegisterClient", { client_name: "bare.js", client_type: "MediaServer" });
const mail = { tenant_id: 101, media_type: "email", queue: "Inbound", user_data: { Subject: "Card blocked" } };
const { interaction_id } = await ask("RequestSubmit", mail);
await ask("RequestChangeProperties", { interaction_id, changed_properties: { priority: 5 } });
await ask("RequestGetInteractionProperties", { interaction_id });
await ask("RequestStopProcessing", { interaction_id });
await ask("RequestUnregisterClient");
socket.close();
