eckart lora resiez adapter
