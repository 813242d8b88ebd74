eckart lora merge A.npy style -o merged
