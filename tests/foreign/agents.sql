-- made by openai-agents 0.24.0: SQLiteSession.add_items, with one pop_item
CREATE TABLE agent_sessions ( session_id TEXT PRIMARY KEY, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP );
CREATE TABLE agent_messages ( id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, message_data TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (session_id) REFERENCES agent_sessions (session_id) ON DELETE CASCADE );
INSERT INTO agent_sessions VALUES('support-42','2026-11-21 02:25:48','2026-11-21 02:25:48');
INSERT INTO agent_sessions VALUES('other','2026-11-21 02:25:48','2026-11-21 02:25:48');
INSERT INTO agent_messages VALUES(1,'support-42','{"role": "user", "content": "Is 345 ms cut?"}','2026-11-21 02:25:48');
INSERT INTO agent_messages VALUES(2,'support-42','{"type": "function_call", "call_id": "c1", "name": "run", "arguments": "{\"ms\": 345}", "id": "fc_1", "status": "completed"}','2026-11-21 02:25:48');
INSERT INTO agent_messages VALUES(3,'support-42','{"type": "function_call_output", "call_id": "c1", "output": "344 \u2013 \u00fcn\u00efcode \u7528\u6237"}','2026-11-21 02:25:48');
INSERT INTO agent_messages VALUES(4,'other','{"role": "user", "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "http://x/y.png", "detail": "auto"}]}','2026-11-21 02:25:48');
INSERT INTO agent_messages VALUES(5,'support-42','{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": null}','2026-11-21 02:25:48');
INSERT INTO agent_messages VALUES(6,'support-42','{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Yes.", "annotations": [], "logprobs": []}]}','2026-11-21 02:25:48');
INSERT INTO agent_messages VALUES(7,'support-42','{"role": "assistant", "content": null, "refusal": "no"}','2026-11-21 02:25:48');
