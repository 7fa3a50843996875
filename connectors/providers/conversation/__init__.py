"""An OpenAI conversation as turns and typed parts: what adapters of other wires translate from.

    1. leading system and developer messages are the system prompt; later ones become a turn of their own where the model
       takes them (`mid_system`), else a user part marked as a system note
    2. neighbours of one role are one turn; all results of an assistant turn stand at the head of the user turn after it
    3. tool calls and results are paired: a result said twice is taken once; what does not pair is an error naming the id
    4. ids lose our seal; signatures that belong to another model are left out
    5. empty texts are left out; whatever else cannot be read is an error naming the part, never dropped

Source: platform.openai.com/docs/api-reference/chat/create; provider_contracts.md section 4.

`turns` says what a conversation consists of, `parts` reads content, `reader` the messages.
"""

from connectors.providers.conversation.parts import objects_in
from connectors.providers.conversation.reader import read_conversation
from connectors.providers.conversation.turns import (
    Assistant,
    Audio,
    Conversation,
    Document,
    Image,
    Inline,
    Linked,
    Part,
    System,
    Text,
    ToolResult,
    ToolUse,
    Turn,
    UnmappableError,
    User,
    unmappable,
)

__all__ = [
    "Assistant",
    "Audio",
    "Conversation",
    "Document",
    "Image",
    "Inline",
    "Linked",
    "Part",
    "System",
    "Text",
    "ToolResult",
    "ToolUse",
    "Turn",
    "UnmappableError",
    "User",
    "objects_in",
    "read_conversation",
    "unmappable",
]
