eckart lora resiez style
